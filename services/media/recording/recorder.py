"""One publisher's recording: units go in on the event loop, a file grows on a thread."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from services.media.recording.folder import NoRoom, RecordFolder
from services.media.recording.mp4 import Mp4, Unwritable
from services.media.unit import CLOCK_RATES, Kind, Unit

MOST_WAITING_BYTES = 16 * 1024 * 1024
KEY_SECONDS = 4.0
"""How far apart key frames may be, so that the file can be searched."""

_RETRY_SECONDS = 0.5
_WRITE_SECONDS = 0.25
_CHECK_SECONDS = 1.0

log = logging.getLogger(__name__)


class Publisher(Protocol):
    """What a recording needs of who publishes."""

    @property
    def publisher(self) -> str:
        """Whole id of its session."""
        ...

    @property
    def label(self) -> str:
        """What its recordings are called after."""
        ...

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Tracks it may send."""
        ...

    def listen(self, listener: Callable[[Unit], None]) -> Callable[[], None]:
        """Hand every unit to a listener; the result ends that."""
        ...

    def want_key(self) -> bool:
        """Ask for a key frame."""
        ...

    def on_end(self, function: Callable[[], None]) -> None:
        """Call a function once nothing comes any more."""
        ...


class Recorder:
    """Writes the units of one publisher to a new file of a folder.

    ``push`` never waits: when the disk is slower than the publisher, what waits is bounded and whole groups of
    pictures are left out. The file is there from the first key frame on; without one there is none.
    """

    def __init__(
        self,
        folder: RecordFolder,
        publisher: Publisher,
        on_begin: Callable[[str], None],
        key_seconds: float = KEY_SECONDS,
    ) -> None:
        self.name = ""
        """Of the file as it is now; empty while there is none."""
        self.dropped_units = 0
        self.failure = ""
        """Why it ended before the publisher did."""
        self._folder = folder
        self.path = folder.begin(publisher.label)
        """Where the file grows; ``finished`` tells its name afterwards."""
        self._kinds = publisher.kinds
        self._want_key = publisher.want_key
        self._on_begin = on_begin
        self._key_seconds = key_seconds
        self._waiting: deque[Unit] = deque()
        self._pushed_bytes = self._taken_bytes = 0
        self._needs_key = "video" in self._kinds
        self._last_key = time.monotonic()
        self._mp4: Mp4 | None = None
        self._begin = 0.0
        self._checked = time.monotonic()
        self._stopping = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)  # a disk may hang for ever
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """How much is not written yet."""
        return self._pushed_bytes - self._taken_bytes

    def push(self, unit: Unit) -> None:
        """Take a unit, on the loop."""
        if self.failure or self._stopping.is_set():
            return
        whole = self._decodable(unit) if unit.kind == "video" else True
        if whole and self.waiting_bytes + len(unit.data) <= MOST_WAITING_BYTES:
            self._pushed_bytes += len(unit.data)
            self._waiting.append(unit)
            return
        self._needs_key = self._needs_key or unit.kind == "video"
        self.dropped_units += self._pushed_bytes > 0

    def stop(self) -> None:
        """Take no more units, and complete the file."""
        self._stopping.set()

    async def ended(self) -> None:
        """Wait until the file is complete, or could not be completed."""
        await self._ended.wait()

    def _decodable(self, picture: Unit) -> bool:
        """Tell whether a picture can be decoded with those before it, and keep key frames coming."""
        now = time.monotonic()
        if picture.key:
            self._last_key, self._needs_key = now, False
        elif now - self._last_key > (_RETRY_SECONDS if self._needs_key else self._key_seconds):
            self._want_key()
            self._last_key = now
        return not self._needs_key

    def _run(self) -> None:
        try:
            while not self._stopping.wait(_WRITE_SECONDS):
                self._write_waiting()
                self._check_room()
            self._write_waiting()
        except (NoRoom, Unwritable) as error:
            self._fail(error)
        finally:
            if not self._stopping.is_set():
                self.failure = self.failure or "the writer has failed"
            self._complete()
            self._tell(self._ended.set)

    def _write_waiting(self) -> None:
        while self._waiting:
            unit = self._waiting.popleft()
            self._taken_bytes += len(unit.data)
            if self._mp4 is None and unit.kind == ("video" if "video" in self._kinds else "audio"):
                self._mp4 = self._open(unit)
            if self._mp4:
                self._mp4.add(unit, unit.timestamp - round(self._begin * CLOCK_RATES[unit.kind]))

    def _open(self, first: Unit) -> Mp4:
        mp4 = Mp4(self.path, first if first.kind == "video" else None, sound="audio" in self._kinds)
        self._begin = first.timestamp / CLOCK_RATES[first.kind]
        self.name = self.path.name
        log.info("recording begun", extra={"recording": self.name})
        self._tell(self._on_begin, self.name)
        return mp4

    def _check_room(self) -> None:
        if time.monotonic() - self._checked >= _CHECK_SECONDS:
            self._checked = time.monotonic()
            self._folder.check()
            self._folder.check_quota()

    def _complete(self) -> None:
        if self._mp4 is None:
            return
        try:
            self._mp4.complete()
            self.name = self._folder.complete(self.path).name  # while it is locked: nobody may take it for left behind
        except (NoRoom, Unwritable) as error:
            self._fail(error)  # what was written stays as it is, to be mended when there is room
        else:
            log.info("recording complete", extra={"recording": self.name, "bytes": self._mp4.size_bytes})
        finally:
            self._mp4.close()

    def _fail(self, error: Exception) -> None:
        self.failure = self.failure or str(error)
        log.warning("recording stopped", extra={"recording": self.name, "reason": str(error)})

    def _tell(self, function: Callable[..., object], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return
