"""The bounded way of encoded units from the event loop to a thread that may be slower than they come."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from services.media.unit import Unit


@dataclass(frozen=True, slots=True)
class Arrival:
    """A unit and when it came, in microseconds of the wall clock."""

    unit: Unit
    at_usec: int


class Inbox:
    """Keeps the newest units for one thread; ``put`` never waits.

    Too slow a thread loses the oldest sound, or all waiting pictures up to the next key frame, which is asked for:
    what follows a lost picture could not be decoded.
    """

    def __init__(self, most: int, want_key: Callable[[], object]) -> None:
        self.dropped = 0
        self._most = most
        self._want_key = want_key
        self._waiting: deque[Arrival] = deque()
        self._needs_key = True
        self._closed = False
        self._changed = threading.Condition()

    @property
    def depth(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def put(self, unit: Unit) -> None:
        """Add a unit, on the loop."""
        video = unit.kind == "video"
        with self._changed:
            if len(self._waiting) >= self._most:
                self._make_room(all_of_them=video)
            if video and self._needs_key and not unit.key:
                return
            self._needs_key = self._needs_key and not video
            self._waiting.append(Arrival(unit, time.time_ns() // 1000))
            self._changed.notify()

    def take(self) -> Arrival | None:
        """Wait for the next unit, on the thread; None once the inbox is closed and empty."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            return self._waiting.popleft() if self._waiting else None

    def close(self) -> None:
        """Take no more units, and leave out those that wait."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify()

    def _make_room(self, *, all_of_them: bool) -> None:
        if not all_of_them:
            self._waiting.popleft()
            self.dropped += 1
            return
        self.dropped += len(self._waiting)
        self._waiting.clear()
        self._needs_key = True
        self._want_key()
