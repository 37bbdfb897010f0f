"""What every backend, replica and health name went through lately, kept in memory and no longer than it is shown."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway.monitor import Picture, Replica

Line = tuple[str, ...]
"""Whose history: (backend), (backend, address) or (backend, address, health name)."""

_STATES = {"SERVING": "serving", "NOT_SERVING": "not_serving"}


@dataclass(frozen=True)
class Span:
    """A state and when it began; it lasts until the next one begins."""

    state: str
    since: datetime


class History:
    """Remembers the changes of the last ``window``; at most ``most_spans`` on each line, the newest ones.

    A health name of a replica that cannot be reached is unknown, not forgotten. A replica or name that no longer
    exists is forgotten with its history.
    """

    def __init__(
        self,
        window: timedelta = timedelta(minutes=15),
        most_spans: int = 256,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.window = window
        self._most_spans = most_spans
        self._now = now
        self._lines: dict[Line, deque[Span]] = {}

    def observe(self, picture: Picture) -> None:
        """Note whatever differs from what was last seen of a backend."""
        states: dict[Line, str] = {(picture.name,): picture.state}
        for replica in picture.replicas:
            states[picture.name, replica.address] = replica.state
            for name, state in self._names(picture.name, replica).items():
                states[picture.name, replica.address, name] = state
        for line in [line for line in self._lines if line[0] == picture.name and line not in states]:
            del self._lines[line]
        moment = self._now()
        for line, state in states.items():
            spans = self._lines.setdefault(line, deque(maxlen=self._most_spans))
            if not spans or spans[-1].state != state:
                spans.append(Span(state, moment))

    def spans(self, *line: str) -> list[Span]:
        """Tell the states within the window, oldest first; the first one may have begun before it."""
        spans = self._lines.get(line, deque())
        start = self._now() - self.window
        while len(spans) > 1 and spans[1].since <= start:
            spans.popleft()
        return list(spans)

    def names(self, backend: str, address: str) -> list[str]:
        """Tell the known health names of a replica, sorted; those it last told if it cannot be reached."""
        return sorted(line[2] for line in self._lines if len(line) == 3 and line[:2] == (backend, address))

    def _names(self, backend: str, replica: Replica) -> dict[str, str]:
        if not replica.reachable:
            return dict.fromkeys(self.names(backend, replica.address), "unknown")
        reported = {one.name: one.serving for one in getattr(replica.status, "health", ())}
        states = {name: "serving" if serving else "not_serving" for name, serving in reported.items()}
        return states | {name: _STATES.get(word.status, "unknown") for name, word in replica.words.items()}
