"""The thread that a detector works on, beside the transport and behind it in the queue for the processor."""

import asyncio
import logging
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress

from services.media.detection.inbox import Arrival, Inbox

_NICENESS = 10

log = logging.getLogger(__name__)


class Branch(ABC):
    """Takes the units of one kind of one stream from its inbox until it is closed."""

    def __init__(self, name: str, inbox: Inbox) -> None:
        self.inbox = inbox
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    async def close(self) -> None:
        """End the thread and wait for it."""
        self.inbox.close()
        await self._ended.wait()

    @abstractmethod
    def take(self, arrival: Arrival) -> None:
        """Look at one unit, on the thread."""

    def tell(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function on the loop."""
        with suppress(RuntimeError):  # the loop is closed: the process is ending
            self._loop.call_soon_threadsafe(function, *arguments)

    def _run(self) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        try:
            while arrival := self.inbox.take():
                self.take(arrival)
        finally:
            self.inbox.close()
            self.tell(self._ended.set)
