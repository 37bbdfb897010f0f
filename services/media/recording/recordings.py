"""Every recording of this process: one for each publisher, counted, in a folder that is looked after."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from services.media.recording.folder import RecordFolder
from services.media.recording.recorder import Publisher, Recorder

_HOUSEKEEPING_SECONDS = 30.0

log = logging.getLogger(__name__)


class Recordings:
    """Records publishers; ``close`` completes every file.

    ``on_change`` is called with ``begun``, ``complete`` or ``failed`` and the name of a file, ``on_loss`` with a
    publisher whose recording ended before it did.
    """

    def __init__(
        self,
        folder: RecordFolder,
        on_change: Callable[[str, str], None],
        on_loss: Callable[[Publisher], Awaitable[None]],
    ) -> None:
        self.written = 0
        """Files completed since the start."""
        self.failed = 0
        """Files that could not be completed, or not for as long as their publisher went on."""
        self._folder = folder
        self._on_change = on_change
        self._on_loss = on_loss
        self._tasks: set[asyncio.Task[None]] = set()
        self._recorders: set[Recorder] = set()
        self._look: asyncio.Future[None] | None = None

    @property
    def active(self) -> int:
        """How many files are being written."""
        return sum(bool(recorder.name) for recorder in self._recorders)

    def record(self, publisher: Publisher) -> Recorder:
        """Record a publisher from now on until it ends."""
        recorder = Recorder(self._folder, publisher, self._begun)
        self._recorders.add(recorder)
        stop_listening = publisher.listen(recorder.push)
        publisher.on_end(recorder.stop)
        task = asyncio.create_task(self._follow(recorder, publisher, stop_listening), name="recording")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return recorder

    async def check(self) -> None:
        """Raise unless recordings can be written now; a disk that hangs is asked no second time meanwhile."""
        if self._look is None or self._look.done():
            self._look = asyncio.ensure_future(asyncio.to_thread(self._folder.check))
            self._look.add_done_callback(lambda look: look.cancelled() or look.exception())
        await asyncio.shield(self._look)

    async def keep_house(self) -> None:
        """Mend what a crash left, and delete what is too old or too much, until cancelled."""
        while True:
            for path in await asyncio.to_thread(self._folder.mend_all):
                log.info("recording mended", extra={"recording": path.name})
            for name in await asyncio.to_thread(self._folder.tidy):
                log.info("recording deleted", extra={"recording": name})
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)

    async def close(self, seconds: float = 4.0) -> None:
        """Complete every file; what a disk that hangs keeps from that is mended by the next start."""
        for recorder in self._recorders:
            recorder.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _follow(self, recorder: Recorder, publisher: Publisher, stop_listening: Callable[[], None]) -> None:
        await recorder.ended()
        stop_listening()
        self._recorders.discard(recorder)
        if recorder.failure:
            self.failed += 1
            self._on_change("failed", recorder.name or recorder.path.name)
            await self._on_loss(publisher)
        elif recorder.name:
            self.written += 1
            self._on_change("complete", recorder.name)

    def _begun(self, name: str) -> None:
        self._on_change("begun", name)
