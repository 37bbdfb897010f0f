"""What is done about a target that fails before its first byte: it is asked again, passed over, or its failure told."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

FAILURES_TO_OPEN = 5
OPEN_SECONDS = 30.0
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 4.0
RETRIED = frozenset({500, 502, 503, 529})
"""What a moment may heal. Not a time-out, which took long already, nor 429, which its sender paces himself."""
PASSED_OVER = frozenset({401, 402, 403, 404, 408, 429})
"""What is between this target and us, so that another one may do better; the rest of 4xx blames the request."""
BLAME_KEY = frozenset({401, 402, 403, 429})
"""What belongs to the key of the request: refused, out of money, without this model, used too much."""

Target = TypeVar("Target")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a target began its answer, in HTTP's terms; a status below 400 is no failure."""

    status: int
    retry_after_seconds: float | None = None
    final: bool = False
    """It said itself that asking again is no use."""

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str]) -> "Outcome":
        """Read an outcome; a date as ``retry-after`` says nothing precise enough to wait for."""
        try:
            after: float | None = float(headers["retry-after"])
        except (KeyError, ValueError):
            after = None
        return cls(status, after, headers.get("x-should-retry") == "false")

    @property
    def blames_target(self) -> bool:
        """Whether it says something about the target's health."""
        return self.status >= 500

    @property
    def refuses_key(self) -> bool:
        """Whether it says that the provider does not take our key."""
        return self.status == 401

    @property
    def blames_key(self) -> bool:
        """Whether the same provider may do better with another key of ours."""
        return self.status in BLAME_KEY

    @property
    def passes_on(self) -> bool:
        """Whether another target may do better."""
        return self.status >= 500 or self.status in PASSED_OVER

    def wait_seconds(self, retry: int, chance: float) -> float | None:
        """Tell how long to wait before the same target is asked again; None when that is no use.

        ``retry`` counts from 0, ``chance`` is in [0, 1): clients that failed together shall not come back together.
        """
        if self.status not in RETRIED or self.final:
            return None
        wait = FIRST_WAIT_SECONDS * 2**retry * (0.5 + chance / 2)
        wait = max(wait, self.retry_after_seconds or 0.0)
        return wait if wait <= LONGEST_WAIT_SECONDS else None


class Breaker:
    """Remembers failures in a row; after several a target is passed over for a while, but for one trial each time."""

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0.0

    def fits(self, now: float) -> bool:
        """Tell whether the target should be asked in its turn; the one who is told so first after a pause tries it."""
        if self._failures < FAILURES_TO_OPEN:
            return True
        if now < self._until:
            return False
        self._until = now + OPEN_SECONDS
        return True

    def succeeded(self) -> None:
        """Record an answer, good or one that blames the request."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """Record a failure of the target."""
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            self._until = now + OPEN_SECONDS


class Patience:
    """Spaces out what is tried in vain: twice as long each time, up to a limit."""

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        self._first, self._longest = first_seconds, longest_seconds
        self._wait, self._until = first_seconds, 0.0

    def due(self, now: float) -> bool:
        """Tell whether it is time to try; whoever is told so tries."""
        if now < self._until:
            return False
        self._until = now + self._wait
        self._wait = min(2 * self._wait, self._longest)
        return True

    def reset(self) -> None:
        """Begin again: it was not in vain."""
        self._wait, self._until = self._first, 0.0


def in_order(targets: Iterable[Target], fits: Callable[[Target], bool]) -> list[Target]:
    """Put targets that do not fit behind the others; none is ever left out, so the last one is always asked."""
    return sorted(targets, key=lambda target: not fits(target))
