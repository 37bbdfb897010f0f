"""A bounded queue of encoded units between the loop and one reader that may be slow."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from services.media.unit import Unit

MOST_WAITING = 512

Listen = Callable[[Callable[[Unit], None]], Callable[[], None]]
"""Starts to hand units to a function; the result ends that. ``Inbound.listen`` and ``Hub.tap`` are such."""


class Subscription:
    """The units of one stream for one reader: ``async for unit in subscription``, until the stream ends.

    Video begins with a key frame. A reader that falls ``most_waiting`` units behind loses all that waits, and its
    video goes on with the next key frame, which is asked for; ``dropped`` counts what it lost. Nothing is ever held
    up by a slow reader. Whoever subscribed must call ``close``, which also ends the iteration.
    """

    def __init__(self, listen: Listen, want_key: Callable[[], object], most_waiting: int = MOST_WAITING) -> None:
        self.dropped = 0
        self._want_key = want_key
        self._most_waiting = most_waiting
        self._waiting: deque[Unit] = deque()
        self._arrived = asyncio.Event()
        self._needs_key = True
        self._ended = False
        self._stop_listening = listen(self._take)

    def close(self) -> None:
        """Take no more units; those that wait are still yielded."""
        if not self._ended:
            self._ended = True
            self._arrived.set()
            self._stop_listening()

    async def __aiter__(self) -> AsyncIterator[Unit]:
        """Yield the units in the order in which they came."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._ended:
                return
            self._arrived.clear()
            await self._arrived.wait()

    def _take(self, unit: Unit) -> None:
        if len(self._waiting) >= self._most_waiting:
            self.dropped += len(self._waiting)
            self._waiting.clear()
            self._needs_key = True
            self._want_key()
        if unit.kind == "video":
            if self._needs_key and not unit.key:
                return  # nothing could be made of it
            self._needs_key = False
        self._waiting.append(unit)
        self._arrived.set()
