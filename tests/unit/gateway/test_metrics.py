import asyncio
from collections import Counter
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from gateway.metrics import Backends, Metrics
from gateway.monitor import Picture, Replica, Word
from gateway.snapshots import Snapshots
from gateway.usage import Usage

MOMENT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def registry():
    return CollectorRegistry()


class Pictures:
    def __init__(self, *replicas):
        self.transitions = Counter({("thing", "a:1"): 3})
        self._replicas = replicas

    def pictures(self):
        return [Picture("thing", self._replicas)]


def test_health_is_a_number_per_replica_and_name(registry):
    words = {"": Word("SERVING", MOMENT), "thing.part": Word("NOT_SERVING", MOMENT)}
    one = Replica("a:1", reachable=True, since=MOMENT, words=words, judged=True, check_seconds=0.5)
    two = Replica("b:1", since=MOMENT, words=words, judged=True, check_seconds=0.5)
    registry.register(Backends(Pictures(one, two), Snapshots(lambda: 1), Usage()))

    def value(what, replica, **labels):
        return registry.get_sample_value(
            f"pulsegate_backend_{what}", {"backend": "thing", "replica": replica, **labels}
        )

    assert (value("reachable", "a:1"), value("reachable", "b:1")) == (1, 0)
    assert (value("serving", "a:1", name=""), value("serving", "a:1", name="thing.part")) == (1, 0)
    assert value("serving", "b:1", name="") == 0
    assert (value("check_duration_seconds", "a:1"), value("check_duration_seconds", "b:1")) == (0.5, None)
    assert value("state_start_time_seconds", "a:1") == MOMENT.timestamp()
    assert (value("transitions_total", "a:1"), value("transitions_total", "b:1")) == (3, 0)


def test_answers_from_memory_are_counted(registry):
    snapshots = Snapshots(lambda: 1)
    registry.register(Backends(Pictures(), snapshots, Usage()))
    snapshots.hits[5000] += 2
    assert registry.get_sample_value("pulsegate_http_snapshot_answers_total", {"port": "5000"}) == 2


def test_answers_of_views_are_counted_and_timed_by_route(registry):
    metrics = Metrics(registry)
    metrics.answered("thing", "/x/<name>", 200, 0.2)
    labels = {"facade": "thing", "route": "/x/<name>"}
    assert registry.get_sample_value("pulsegate_http_requests_total", {**labels, "status": "200"}) == 1
    assert registry.get_sample_value("pulsegate_http_request_duration_seconds_sum", labels) == 0.2


def test_an_answer_under_way_is_counted_until_it_ends(registry):
    metrics = Metrics(registry)

    def value():
        return registry.get_sample_value("pulsegate_http_requests_in_progress", {"facade": "thing"})

    with metrics.answering("thing"):
        assert value() == 1
    assert value() == 0


async def test_a_blocked_loop_shows(registry, until):
    metrics = Metrics(registry)
    watching = asyncio.create_task(metrics.watch_loop())
    await until(lambda: registry.get_sample_value("pulsegate_loop_lag_seconds_count"))
    watching.cancel()


def test_a_facade_knows_how_many_answers_it_gave_and_how_many_failed(registry):
    metrics = Metrics(registry)
    for status in (200, 404, 503):
        metrics.answered("thing", "/x", status, 0.1)
    assert (metrics.answers("thing"), metrics.answers("other")) == ((3, 1), (0, 0))
