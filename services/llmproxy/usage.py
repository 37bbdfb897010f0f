"""What one request spent, and how such records are summed up."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

DIMENSIONS = ("day", "provider", "model", "client", "outcome")
Dimension = Literal["day", "provider", "model", "client", "outcome"]

KINDS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
MOST_TOKENS = 10**9
"""Of one kind in one answer: more than any model takes, and a million of them still fit where sums are kept."""
MOST_NAME_CHARACTERS = 200
"""Names of models are typed by clients; a longer one is cut."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens as Anthropic counts them: ``input`` excludes what came from, or went to, the cache."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0

    @classmethod
    def of(cls, usage: Mapping[str, int]) -> "Tokens":
        """Read the ``usage`` of an answer; a vendor's nonsense is held within what can be added up."""
        return cls(*(min(max(0, usage.get(kind, 0)), MOST_TOKENS) for kind in KINDS))

    @property
    def total(self) -> int:
        """Tokens of every kind."""
        return self.input + self.output + self.cache_read + self.cache_write


@dataclass(frozen=True, slots=True)
class Record:
    """One request that has ended. Never a word of what was said.

    ``client`` is the fingerprint of the caller's key; ``first_byte_seconds`` is None when nothing was answered.
    ``ok`` is the only good outcome; else it is an HTTP status, ``torn`` or ``cancelled``.
    """

    ended_at: float
    client: str
    provider: str
    asked_model: str
    model: str
    outcome: str
    tokens: Tokens
    seconds: float
    first_byte_seconds: float | None = None
    retries: int = 0
    fallbacks: int = 0
    estimated: bool = False

    @property
    def day(self) -> str:
        """The day it ended on, in UTC."""
        return day_of(self.ended_at)


@dataclass(frozen=True, slots=True)
class Sums:
    """Everything about some requests that can be added up."""

    requests: int = 0
    failed: int = 0
    estimated: int = 0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    retries: int = 0
    fallbacks: int = 0
    answered: int = 0
    first_byte_ms: float = 0.0
    total_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Window:
    """Whole days in UTC, both ends included, and what else a record must be to count."""

    first_day: str
    last_day: str
    only: Mapping[Dimension, str]


def day_of(moment: float) -> str:
    """Name the day of a moment in UTC, as ``2026-11-22``."""
    return datetime.fromtimestamp(moment, UTC).date().isoformat()


def days_before(moment: float, days: int) -> str:
    """Name the day so many days before a moment."""
    return (datetime.fromtimestamp(moment, UTC).date() - timedelta(days=days)).isoformat()
