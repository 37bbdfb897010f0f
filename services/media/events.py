"""What happens in this process, told to whoever listens now; nothing is kept for later."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_WAITING = 128


@dataclass(frozen=True)
class Event:
    """One thing that happened; ``data`` is ready for JSON and holds no secret."""

    type: str
    data: Mapping[str, Any]
    session: str = ""
    """Whole id of the session it belongs to, if any: show its beginning only."""
    at: float = field(default_factory=time.time)


class Events:
    """Hands every event to every listener; a slow one loses the oldest that wait for it."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Event], None]] = []
        self._wakes: set[asyncio.Event] = set()
        self._closed = False

    def tell(self, event: Event) -> None:
        """Tell an event, on the loop."""
        for listener in tuple(self._listeners):
            listener(event)

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call a function, which must return at once, with every event from now on; the result ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def watch(self) -> AsyncIterator[Event]:
        """Listen from now on; the result yields every event until ``close``, and must be iterated."""
        waiting: deque[Event] = deque(maxlen=MOST_WAITING)
        wake = asyncio.Event()

        def take(event: Event) -> None:
            waiting.append(event)
            wake.set()

        return self._iterate(waiting, wake, self.listen(take))

    def close(self) -> None:
        """End every iteration."""
        self._closed = True
        for wake in self._wakes:
            wake.set()

    async def _iterate(
        self, waiting: deque[Event], wake: asyncio.Event, stop_listening: Callable[[], None]
    ) -> AsyncIterator[Event]:
        self._wakes.add(wake)
        try:
            while True:
                wake.clear()
                while waiting:
                    yield waiting.popleft()
                if self._closed:
                    return
                await wake.wait()
        finally:
            self._wakes.discard(wake)
            stop_listening()
