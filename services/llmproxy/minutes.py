"""The last hour, minute by minute."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.llmproxy.usage import Record

KEPT = 60
MOST_LATENCIES = 512
"""Of a minute; beyond that only every request's share in the counts is kept."""


@dataclass(slots=True)
class Minute:
    """What ended within one minute; ``start`` is in seconds since 1970."""

    start: int
    requests: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    first_byte_ms: list[float] = field(default_factory=list)
    total_ms: list[float] = field(default_factory=list)

    def add(self, record: Record) -> None:
        """Count one request; what was read from a cache is input here."""
        tokens = record.tokens
        self.requests += 1
        self.failed += record.outcome != "ok"
        self.input_tokens += tokens.input + tokens.cache_read + tokens.cache_write
        self.output_tokens += tokens.output
        if record.first_byte_seconds is not None and len(self.first_byte_ms) < MOST_LATENCIES:
            self.first_byte_ms.append(record.first_byte_seconds * 1000)
        if len(self.total_ms) < MOST_LATENCIES:
            self.total_ms.append(record.seconds * 1000)


class Minutes:
    """The latest minutes in which a request ended, oldest first; those without one are left out."""

    def __init__(self) -> None:
        self._minutes: dict[int, Minute] = {}

    def add(self, record: Record) -> None:
        """Count one request in its minute, unless that is long past."""
        start = int(record.ended_at) // 60 * 60
        latest = max(self._minutes, default=start)
        if start <= latest - KEPT * 60:
            return
        if start not in self._minutes:
            for old in [one for one in self._minutes if one <= start - KEPT * 60]:
                del self._minutes[old]
            self._minutes[start] = Minute(start)
        self._minutes[start].add(record)

    def all(self) -> Sequence[Minute]:
        """Return them, oldest first."""
        return [self._minutes[start] for start in sorted(self._minutes)]


def share(values: Sequence[float], part: float) -> float:
    """Return the value that this part of the others does not exceed; 0 of nothing."""
    ordered = sorted(values)
    return ordered[round((len(ordered) - 1) * part)] if ordered else 0.0
