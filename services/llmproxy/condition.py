"""What is known of one provider from the answers it gave, without asking it."""

from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic

FAILURES_TO_TELL = 3
"""A single refused request says little of a provider."""
LEAST_INTERVAL_SECONDS = 5.0
"""Good news that changes nothing is told this often, so that traffic does not make the status document tick."""


class Condition:
    """One provider's condition; ``told`` is called whenever the status document may read differently.

    ``healthy`` is false only when the provider is known to be unhealthy; ``serving`` is also false while it gets
    ready.
    """

    def __init__(self, told: Callable[[], None]) -> None:
        self.healthy = True
        self.serving = True
        self.reason = ""
        self.last_check: datetime | None = None
        self.response_time_ms = 0.0
        self._failures = 0
        self._told = told
        self._told_at = 0.0

    def well(self, seconds: float | None = None) -> None:
        """Record an answer, good or one that blames the request, and how long its first byte took."""
        self._failures = 0
        changed = not (self.healthy and self.serving)
        self.healthy, self.serving = True, True
        self.last_check = datetime.now(UTC)
        if seconds is not None:
            self.response_time_ms = round(seconds * 1000, 1)
        if changed or monotonic() - self._told_at >= LEAST_INTERVAL_SECONDS:
            self._tell()

    def failed(self, reason: str) -> None:
        """Record one answer that blames the provider; only several in a row make it unhealthy."""
        self._failures += 1
        if self._failures >= FAILURES_TO_TELL:
            self.unwell(reason)

    def unwell(self, reason: str) -> None:
        """Record that the provider cannot answer; the reason is one line without secrets."""
        self.healthy, self.serving, self.reason = False, False, reason
        self.last_check = datetime.now(UTC)
        self._tell()

    def preparing(self, reason: str) -> None:
        """Record that the provider is not serving yet, which is no fault of it."""
        self.serving, self.reason = False, reason
        self._tell()

    def _tell(self) -> None:
        self._told_at = monotonic()
        self._told()
