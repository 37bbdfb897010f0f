from services.llmproxy.condition import Condition


class Told:
    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1


def test_a_provider_that_was_never_asked_is_healthy():
    condition = Condition(Told())
    assert (condition.healthy, condition.serving, condition.last_check) == (True, True, None)


def test_a_single_failure_is_no_sickness_but_three_in_a_row_are():
    told = Told()
    condition = Condition(told)
    condition.failed("500")
    condition.failed("500")
    assert condition.healthy
    condition.failed("500")
    assert (condition.healthy, condition.serving, condition.reason) == (False, False, "500")
    assert told.times == 1


def test_a_good_answer_between_starts_the_count_anew():
    condition = Condition(Told())
    for _ in range(5):
        condition.failed("500")
        condition.well(0.1)
    assert condition.healthy


def test_recovery_is_told_at_once():
    told = Told()
    condition = Condition(told)
    condition.unwell("gone")
    condition.well(0.25)
    assert (condition.healthy, condition.response_time_ms, told.times) == (True, 250.0, 2)


def test_good_answers_in_a_row_do_not_make_the_status_tick():
    told = Told()
    condition = Condition(told)
    for _ in range(100):
        condition.well(0.001)
    assert told.times <= 1


def test_getting_ready_is_not_serving_and_yet_healthy():
    condition = Condition(Told())
    condition.preparing("loading")
    assert (condition.healthy, condition.serving, condition.reason) == (True, False, "loading")
