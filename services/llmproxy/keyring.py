"""The keys of one provider: each gets its share of the requests, and one that is refused rests."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.llmproxy.resilience import Outcome

LIMITED_SECONDS = 30.0
REFUSED_SECONDS = 300.0


@dataclass(slots=True)
class _Key:
    text: str
    weight: int
    credit: int = 0
    rests_until: float = 0.0
    refused: bool = False


@dataclass(slots=True)
class Keyring:
    """Picks keys by smooth weighted round robin: shares are kept over any few requests, not only over many.

    A key that rests is picked last, never left out.
    """

    _keys: list[_Key] = field(default_factory=list)

    @classmethod
    def of(cls, keys: Iterable[tuple[str, int]]) -> "Keyring":
        """Make a ring of keys and weights; without any it has the empty one."""
        return cls([_Key(text, weight) for text, weight in keys] or [_Key("", 1)])

    def pick(self, now: float) -> list[str]:
        """Tell the keys in the order in which they should be tried for one request."""
        awake = [key for key in self._keys if key.rests_until <= now]
        chosen = None
        if awake:
            for key in awake:
                key.credit += key.weight
            chosen = max(awake, key=lambda key: key.credit)
            chosen.credit -= sum(key.weight for key in awake)
        rest = sorted(self._keys, key=lambda key: (key.rests_until > now, key.rests_until, -key.weight))
        return [key.text for key in sorted(rest, key=lambda key: key is not chosen)]

    def told(self, text: str, outcome: Outcome, now: float) -> None:
        """Record how an answer to a request with this key began."""
        for key in self._keys:
            if key.text == text:
                key.refused = outcome.refuses_key
                if outcome.refuses_key:
                    key.rests_until = now + REFUSED_SECONDS
                elif outcome.status == 429:
                    key.rests_until = now + (outcome.retry_after_seconds or LIMITED_SECONDS)
                elif outcome.status < 400:
                    key.rests_until = 0.0

    @property
    def all_refused(self) -> bool:
        """Whether the provider takes none of them."""
        return all(key.refused for key in self._keys)
