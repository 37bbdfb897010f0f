"""What became of the Messages requests since start, in numbers."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

KEPT_LATENCIES = 1024
BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


@dataclass(frozen=True, slots=True)
class Latencies:
    """Distribution of the latest latencies in milliseconds."""

    average_ms: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0


class Traffic:
    """Counts requests by their end; never sees what was said."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.succeeded = 0
        self.failed = 0
        self._running = 0
        self._observers: list[Callable[[], None]] = []
        self._latencies: deque[float] = deque(maxlen=KEPT_LATENCIES)
        self._requests = Counter(
            "pulsegate_llmproxy_requests_total", "Messages requests by end", ["provider", "outcome"], registry=registry
        )
        self._seconds = Histogram(
            "pulsegate_llmproxy_request_seconds",
            "Time to the end of an answer",
            ["provider"],
            registry=registry,
            buckets=BUCKETS,
        )
        self._first_seconds = Histogram(
            "pulsegate_llmproxy_first_byte_seconds",
            "Time to the first byte of an answer",
            ["provider"],
            registry=registry,
            buckets=BUCKETS,
        )
        self._tokens = Counter(
            "pulsegate_llmproxy_tokens_total",
            "Tokens of Messages requests, as the providers count them",
            ["provider", "kind"],
            registry=registry,
        )
        self._unseen = Counter(
            "pulsegate_llmproxy_unseen_failures_total",
            "Failures before the first byte that another try, here or elsewhere, was made after",
            ["provider", "status"],
            registry=registry,
        )
        Gauge(
            "pulsegate_llmproxy_requests_running", "Messages requests being answered", registry=registry
        ).set_function(lambda: self._running)

    @property
    def total(self) -> int:
        """Requests that began, ended or not."""
        return self.succeeded + self.failed + self._running

    def on_change(self, observer: Callable[[], None]) -> None:
        """Call the observer whenever a request began or ended."""
        self._observers.append(observer)

    def began(self) -> None:
        """Count a request that has begun; every one of them must end."""
        self._running += 1
        self._tell()

    def first_byte(self, provider: str, seconds: float) -> None:
        """Record how long the first byte took."""
        self._first_seconds.labels(provider).observe(seconds)

    def tried_on(self, provider: str, status: int) -> None:
        """Count a failure that no client was told yet."""
        self._unseen.labels(provider, str(status)).inc()

    def ended(self, provider: str, outcome: str, seconds: float) -> None:
        """Count a request that has ended; ``ok`` is the only good outcome."""
        self._running -= 1
        if outcome == "ok":
            self.succeeded += 1
        else:
            self.failed += 1
        self._latencies.append(seconds * 1000)
        self._requests.labels(provider, outcome).inc()
        self._seconds.labels(provider).observe(seconds)
        self._tell()

    def spent(self, provider: str, usage: Mapping[str, int]) -> None:
        """Count the tokens of an answer, whole or broken off."""
        for kind, count in usage.items():
            self._tokens.labels(provider, kind.removesuffix("_tokens")).inc(max(0, count))

    def latencies(self) -> Latencies:
        """Summarise the latest requests; all zero while there were none."""
        ordered = sorted(self._latencies)
        if not ordered:
            return Latencies()
        last = len(ordered) - 1
        return Latencies(sum(ordered) / len(ordered), *(ordered[round(last * share)] for share in (0.50, 0.95, 0.99)))

    def _tell(self) -> None:
        for observer in self._observers:
            observer()
