from datetime import UTC, datetime, timedelta

import pytest

from gateway.history import History
from gateway.monitor import Picture, Replica, Word

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ADDRESS = "127.0.0.1:1"


class Clock:
    def __init__(self):
        self.seconds = 0

    def __call__(self):
        return START + timedelta(seconds=self.seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def history(clock):
    return History(window=timedelta(seconds=100), most_spans=5, now=clock)


def serving(address=ADDRESS, **words):
    named = {"": "SERVING", **words}
    return Replica(
        address, reachable=True, judged=True, words={name: Word(word, START) for name, word in named.items()}
    )


def lost(address=ADDRESS):
    return Replica(address, judged=True)


def told(history, *line):
    return [(span.state, (span.since - START).total_seconds()) for span in history.spans(*line)]


def test_nothing_is_told_of_what_was_never_seen(history):
    assert history.spans("thing") == []


def test_each_change_begins_a_span_and_what_stays_the_same_does_not(history, clock):
    for seconds, replica in [(0, serving()), (3, serving()), (5, lost()), (9, serving())]:
        clock.seconds = seconds
        history.observe(Picture("thing", (replica,)))
    changes = [("serving", 0), ("unreachable", 5), ("serving", 9)]
    assert told(history, "thing") == changes
    assert told(history, "thing", ADDRESS) == changes


def test_a_health_name_of_a_lost_replica_is_unknown_and_not_forgotten(history, clock):
    history.observe(Picture("thing", (serving(part="NOT_SERVING"),)))
    clock.seconds = 4
    history.observe(Picture("thing", (lost(),)))
    assert history.names("thing", ADDRESS) == ["", "part"]
    assert told(history, "thing", ADDRESS, "part") == [("not_serving", 0), ("unknown", 4)]


def test_a_backend_serves_while_one_of_its_replicas_does(history, clock):
    history.observe(Picture("thing", (serving("a"), serving("b"))))
    clock.seconds = 2
    history.observe(Picture("thing", (serving("a"), lost("b"))))
    assert told(history, "thing") == [("serving", 0)]
    assert told(history, "thing", "b") == [("serving", 0), ("unreachable", 2)]


def test_what_left_the_window_is_dropped_but_for_the_state_the_window_begins_in(history, clock):
    for seconds, replica in [(0, serving()), (10, lost()), (20, serving())]:
        clock.seconds = seconds
        history.observe(Picture("thing", (replica,)))
    clock.seconds = 115
    assert told(history, "thing") == [("unreachable", 10), ("serving", 20)]
    clock.seconds = 10_000
    assert told(history, "thing") == [("serving", 20)]


def test_a_flapping_backend_keeps_only_so_much(history, clock):
    for seconds in range(20):
        clock.seconds = seconds
        history.observe(Picture("thing", (lost() if seconds % 2 else serving(),)))
    assert [since for _, since in told(history, "thing")] == [15, 16, 17, 18, 19]


def test_a_replica_that_is_gone_is_forgotten_with_its_names(history):
    history.observe(Picture("thing", (serving("a"), serving("b"))))
    history.observe(Picture("thing", (serving("a"),)))
    assert history.spans("thing", "b") == []
    assert history.names("thing", "b") == []


def test_a_health_name_that_is_gone_is_forgotten(history):
    history.observe(Picture("thing", (serving(part="SERVING"),)))
    history.observe(Picture("thing", (serving(),)))
    assert history.names("thing", ADDRESS) == [""]


def test_backends_do_not_disturb_each_other(history):
    history.observe(Picture("thing", (serving(),)))
    history.observe(Picture("other", (lost(),)))
    assert told(history, "thing") == [("serving", 0)]
