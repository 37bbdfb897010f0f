import pytest

from services.llmproxy.resilience import FAILURES_TO_OPEN, OPEN_SECONDS, Breaker, Outcome, Patience, in_order


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (500, {}, (0.25, 0.5)),
        (502, {}, (0.25, 0.5)),
        (503, {}, (0.25, 0.5)),
        (529, {}, (0.25, 0.5)),
        (503, {"retry-after": "2"}, (2.0, 2.0)),
        (503, {"retry-after": "0"}, (0.25, 0.5)),
        (503, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, (0.25, 0.5)),
        (503, {"retry-after": "20"}, None),
        (503, {"x-should-retry": "false"}, None),
        (504, {}, None),
        (429, {}, None),
        (408, {}, None),
        (401, {}, None),
        (400, {}, None),
        (200, {}, None),
    ],
)
def test_whether_and_when_the_same_target_is_asked_again(status, headers, expected):
    outcome = Outcome.of(status, headers)
    waits = [outcome.wait_seconds(0, chance) for chance in (0.0, 1.0)]
    assert waits == (list(expected) if expected else [None, None])


def test_waits_double_and_end():
    waits = [Outcome(503).wait_seconds(retry, 1.0) for retry in range(5)]
    assert waits == [0.5, 1.0, 2.0, 4.0, None]


@pytest.mark.parametrize(
    ("status", "passes_on", "blames"),
    [
        (200, False, False),
        (400, False, False),
        (401, True, False),
        (402, True, False),
        (403, True, False),
        (404, True, False),
        (408, True, False),
        (413, False, False),
        (422, False, False),
        (429, True, False),
        (500, True, True),
        (502, True, True),
        (504, True, True),
        (529, True, True),
    ],
)
def test_what_a_status_says_of_the_request_the_way_and_the_target(status, passes_on, blames):
    outcome = Outcome(status)
    assert (outcome.passes_on, outcome.blames_target) == (passes_on, blames)


def opened():
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN):
        assert breaker.fits(100.0)
        breaker.failed(100.0)
    return breaker


def test_a_breaker_opens_after_failures_in_a_row_only():
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN - 1):
        breaker.failed(0.0)
    breaker.succeeded()
    breaker.failed(0.0)
    assert breaker.fits(0.0)
    assert not opened().fits(100.0 + OPEN_SECONDS - 0.1)


def test_an_open_breaker_lets_one_trial_through_after_its_pause():
    breaker = opened()
    later = 100.0 + OPEN_SECONDS
    assert [breaker.fits(later), breaker.fits(later)] == [True, False]
    breaker.failed(later)
    assert not breaker.fits(later + OPEN_SECONDS - 0.1)
    assert breaker.fits(later + OPEN_SECONDS)
    breaker.succeeded()
    assert [breaker.fits(later), breaker.fits(later)] == [True, True]


@pytest.mark.parametrize(
    ("unfit", "expected"), [("", "abc"), ("a", "bca"), ("ab", "cab"), ("b", "acb"), ("abc", "abc")]
)
def test_targets_that_do_not_fit_are_asked_last_and_never_left_out(unfit, expected):
    assert "".join(in_order("abc", lambda target: target not in unfit)) == expected


def test_what_is_tried_in_vain_is_tried_ever_more_seldom():
    patience = Patience(10.0, 60.0)
    tried = [now for now in range(0, 300, 10) if patience.due(float(now))]
    assert tried == [0, 10, 30, 70, 130, 190, 250]
    patience.reset()
    assert patience.due(251.0)
    assert not patience.due(260.0)
    assert patience.due(261.0)


def test_without_more_patience_it_is_tried_each_time():
    patience = Patience(10.0, 10.0)
    assert all(patience.due(float(now)) for now in range(0, 100, 10))
