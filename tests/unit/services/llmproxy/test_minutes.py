from services.llmproxy.minutes import KEPT, MOST_LATENCIES, Minutes, share
from services.llmproxy.usage import Record, Tokens

START = 1_800_000_000 // 60 * 60


def record(ended_at, outcome="ok", seconds=1.0, first=0.25):
    return Record(ended_at, "k", "p", "m", "m", outcome, Tokens(10, 5, 3, 2), seconds, first)


def test_requests_are_counted_in_the_minute_they_ended_in():
    minutes = Minutes()
    for moment, outcome in ((START, "ok"), (START + 59.9, "torn"), (START + 60, "ok")):
        minutes.add(record(moment, outcome))
    first, second = minutes.all()
    assert (first.start, first.requests, first.failed, first.input_tokens, first.output_tokens) == (START, 2, 1, 30, 10)
    assert (second.start, second.requests, second.total_ms, second.first_byte_ms) == (START + 60, 1, [1000], [250])


def test_only_the_last_hour_is_kept():
    minutes = Minutes()
    for minute in range(KEPT + 5):
        minutes.add(record(START + 60 * minute))
    assert [one.start for one in minutes.all()] == [START + 60 * minute for minute in range(5, KEPT + 5)]
    minutes.add(record(START))
    assert minutes.all()[0].start == START + 300


def test_a_busy_minute_keeps_so_many_latencies_and_counts_all():
    minutes = Minutes()
    for _ in range(MOST_LATENCIES + 9):
        minutes.add(record(START, first=None))
    (minute,) = minutes.all()
    assert (minute.requests, len(minute.total_ms), minute.first_byte_ms) == (MOST_LATENCIES + 9, MOST_LATENCIES, [])


def test_the_share_of_nothing_is_zero():
    assert share([], 0.5) == 0.0
    assert share([3, 1, 2], 0.5) == 2
