"""What Prometheus is told of the gateway: its answers, its loop, and every backend as the monitor sees it."""

import asyncio
import collections
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.monitor import Monitor
from gateway.snapshots import Snapshots
from gateway.usage import LIMITS, Usage

LAG_SECONDS = 0.1
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counts what the front answers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "pulsegate_http_requests",
            "Requests answered by a view, by route template; those answered from memory are counted apart",
            ["facade", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "pulsegate_http_request_duration_seconds",
            "Time until the last byte of an answer",
            ["facade", "route"],
            registry=registry,
            buckets=BUCKETS,
        )
        self._answering = Gauge(
            "pulsegate_http_requests_in_progress", "Requests being answered now", ["facade"], registry=registry
        )
        self._sockets = Gauge("pulsegate_websockets", "WebSockets open now", ["facade"], registry=registry)
        self._kept: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._answers = collections.Counter[str]()
        self._failures = collections.Counter[str]()
        self._lag = Histogram(
            "pulsegate_loop_lag_seconds",
            "Time by which the event loop was late; anything blocking shows here",
            registry=registry,
            buckets=BUCKETS,
        )

    def answering(self, facade: str) -> AbstractContextManager[None]:
        """Count a request as being answered; the same object serves every request of a façade."""
        return self._answering.labels(facade).track_inprogress()

    def carrying(self, facade: str) -> AbstractContextManager[None]:
        """Count a WebSocket as open."""
        return self._sockets.labels(facade).track_inprogress()

    def answered(self, facade: str, route: str, status: int, seconds: float) -> None:
        """Count an answer; a request that met no route has an empty one."""
        kept = self._kept.get((facade, route, status))
        if kept is None:  # finding the series by their labels costs more than counting
            kept = self._requests.labels(facade, route, status), self._seconds.labels(facade, route)
            self._kept[facade, route, status] = kept
        requests, duration = kept
        requests.inc()
        duration.observe(seconds)
        self._answers[facade] += 1
        self._failures[facade] += status >= 500

    def answers(self, facade: str) -> tuple[int, int]:
        """Tell how many answers views of a façade gave since the start, and how many of them were server errors."""
        return self._answers[facade], self._failures[facade]

    async def watch_loop(self) -> None:
        """Measure how late the loop is, until cancelled."""
        while True:
            due = time.monotonic() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            self._lag.observe(max(0.0, time.monotonic() - due))


class Backends(Collector):
    """Reads the monitor, the snapshots and what clients take whenever Prometheus asks."""

    def __init__(self, monitor: Monitor, snapshots: Snapshots, usage: Usage) -> None:
        self._monitor = monitor
        self._snapshots = snapshots
        self._usage = usage

    def collect(self) -> Iterator[Metric]:
        """Yield every family; health is 1 for SERVING of a replica that can be reached, else 0."""
        place = ["backend", "replica"]
        reachable = GaugeMetricFamily("pulsegate_backend_reachable", "1 while a replica answers", labels=place)
        serving = GaugeMetricFamily("pulsegate_backend_serving", "1 while a name is SERVING", labels=[*place, "name"])
        since = GaugeMetricFamily(
            "pulsegate_backend_state_start_time_seconds", "When reachability last changed", labels=place
        )
        check = GaugeMetricFamily("pulsegate_backend_check_duration_seconds", "Time of the last check", labels=place)
        changes = CounterMetricFamily(
            "pulsegate_backend_transitions", "Changes of reachability or readiness", labels=place
        )
        for picture in self._monitor.pictures():
            for replica in picture.replicas:
                at = [picture.name, replica.address]
                reachable.add_metric(at, replica.reachable)
                since.add_metric(at, replica.since.timestamp())
                changes.add_metric(at, self._monitor.transitions[picture.name, replica.address])
                if replica.reachable and replica.check_seconds is not None:
                    check.add_metric(at, replica.check_seconds)
                for name in replica.words:
                    serving.add_metric([*at, name], replica.serving(name))
        yield from (reachable, serving, since, check, changes)
        remembered = CounterMetricFamily(
            "pulsegate_http_snapshot_answers", "Probes answered from memory", labels=["port"]
        )
        for port, count in self._snapshots.hits.items():
            remembered.add_metric([str(port)], count)
        yield remembered
        yield GaugeMetricFamily("pulsegate_http_sockets", "Client sockets open now", value=self._usage.sockets)
        refusals = CounterMetricFamily(
            "pulsegate_http_refusals", "Requests refused and sockets cut by a limit", labels=["limit"]
        )
        for limit in LIMITS:
            refusals.add_metric([limit], self._usage.refusals[limit])
        yield refusals
