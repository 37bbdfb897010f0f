"""What became of the Messages requests since start, in numbers."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.llmproxy.ledger import Ledger
from services.llmproxy.minutes import Minutes, share
from services.llmproxy.usage import Record

KEPT_LATENCIES = 1024
MOST_KINDS_OF_REQUESTS = 256
TOKEN_KINDS = ("input", "output", "cache_read_input", "cache_creation_input")
MOST_MODELS = 100
"""Label values; any model may be asked for, so later ones are counted together as ``other``."""
BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


@dataclass(frozen=True, slots=True)
class Latencies:
    """Distribution of the latest latencies in milliseconds."""

    average_ms: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0


class Traffic:
    """Counts requests by their end and hands them to the ledger; never sees what was said."""

    def __init__(self, registry: CollectorRegistry, ledger: Ledger) -> None:
        self.ledger = ledger
        self.succeeded = 0
        self.failed = 0
        self.minutes = Minutes()
        self._running = 0
        self._models: set[tuple[str, str]] = set()
        self._counting = lru_cache(MOST_KINDS_OF_REQUESTS)(self._counters)  # finding them costs more than counting
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
        self._model_tokens = Counter(
            "pulsegate_llmproxy_model_tokens_total",
            "Tokens by the model that was asked",
            ["provider", "model", "kind"],
            registry=registry,
        )
        self._client_tokens = Counter(
            "pulsegate_llmproxy_client_tokens_total",
            "Tokens by the fingerprint of the client's key",
            ["client", "kind"],
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

    def ended(self, record: Record) -> None:
        """Count a request that has ended, and its tokens, whole or broken off."""
        self._running -= 1
        if record.outcome == "ok":
            self.succeeded += 1
        else:
            self.failed += 1
        self._latencies.append(record.seconds * 1000)
        self._requests.labels(record.provider, record.outcome).inc()
        self._seconds.labels(record.provider).observe(record.seconds)
        self.minutes.add(record)
        self._spent(record)
        self.ledger.record(record)
        self._tell()

    def latencies(self) -> Latencies:
        """Summarise the latest requests; all zero while there were none."""
        ordered = sorted(self._latencies)
        if not ordered:
            return Latencies()
        return Latencies(sum(ordered) / len(ordered), *(share(ordered, part) for part in (0.50, 0.95, 0.99)))

    def _spent(self, record: Record) -> None:
        tokens = record.tokens
        counts = (tokens.input, tokens.output, tokens.cache_read, tokens.cache_write)
        for kind, count in zip(TOKEN_KINDS, counts, strict=True):
            if count:
                for counter in self._counting(record.provider, record.model, record.client, kind):
                    counter.inc(count)

    def _counters(self, provider: str, model: str, client: str, kind: str) -> Sequence[Counter]:
        """Find what counts one kind of tokens of one kind of request."""
        if (provider, model) not in self._models and len(self._models) >= MOST_MODELS:
            model = "other"
        else:
            self._models.add((provider, model))
        return (
            self._tokens.labels(provider, kind),
            self._model_tokens.labels(provider, model, kind),
            self._client_tokens.labels(client, kind),
        )

    def _tell(self) -> None:
        for observer in self._observers:
            observer()
