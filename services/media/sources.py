"""The thread that reads a source in real time and hands its units to the event loop."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer

from services.media import scrub
from services.media.branches import Branch, CopiedAudio, CopiedVideo, EncodedAudio, EncodedVideo, copyable, opus
from services.media.origin import TEST_PICTURE, Origin
from services.media.unit import Unit

OLDEST_LIVE_SECONDS = 2.0
_LONGEST_LAG_SECONDS = 0.5
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 0.25, 1.0
_OPEN_TIMEOUT_SECONDS, _READ_TIMEOUT_SECONDS = 5.0, 2.0
_NO_LIMIT = 3600.0
_LIVE_OPTIONS = {"fflags": "nobuffer", "analyzeduration": "500000", "probesize": "200000"}

log = logging.getLogger(__name__)


class SourceLost(Exception):
    """The source gives no picture now; the text says why, without credentials."""


class SourceMissing(SourceLost):
    """There is no such local file."""


@dataclass(frozen=True)
class Encoding:
    """How video and audio are encoded where they have to be."""

    width: int
    height: int
    fps: int
    video_bitrate: int
    audio_bitrate: int
    passthrough: bool


class Source:
    """Reads one origin for everybody, paced by its own continuous clock.

    Its thread sleeps while ``demand`` says that nobody watches: nothing is read, decoded or encoded then. Before
    that it reads up to the first picture once, so that the verdict of ``check`` rests on a real one. A live source is
    read all the time, so that its loss is noticed, but not decoded.
    """

    def __init__(self, origin: Origin, encoding: Encoding, *, loop_file: bool, sink: Callable[[Unit], None]) -> None:
        self._origin = origin
        self._encoding = encoding
        self._loop_file = loop_file
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._settled = asyncio.Event()
        self._demand = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="source")
        self._video_encoder = EncodedVideo(encoding.width, encoding.height, encoding.fps, encoding.video_bitrate)
        self._audio_encoder = EncodedAudio(encoding.audio_bitrate)
        self._video_encoded = False
        self._failure: SourceLost | None = None
        self._primed = False
        self._ended = False
        self._last_unit = 0.0
        self._clock = 0.0  # where the source's continuous clock stands
        self._epoch = 0.0  # monotonic time at which that clock would have been zero
        self.has_audio = True

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping.set()
        self._demand.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _OPEN_TIMEOUT_SECONDS)

    def demand(self, *, wanted: bool) -> None:
        """Say whether anybody watches."""
        if wanted:
            self._last_unit = max(self._last_unit, time.monotonic())
            self._demand.set()
        else:
            self._demand.clear()

    def want_key(self) -> bool:
        """Ask for a key frame; tells whether this source can make one."""
        self._video_encoder.want_key()
        return self._video_encoded

    async def check(self) -> None:
        """Raise ``SourceLost`` unless the source gives pictures, or would give them to a viewer."""
        await self._settled.wait()
        if self._origin.kind == "file":
            await asyncio.to_thread(must_open, self._origin.value)
        if self._failure:
            raise self._failure
        age = time.monotonic() - self._last_unit
        watched = self._demand.is_set() or self._origin.live
        if watched and not self._ended and age > OLDEST_LIVE_SECONDS:
            raise SourceLost(f"no picture for {OLDEST_LIVE_SECONDS:g} s")

    def _run(self) -> None:
        retry = _FIRST_RETRY_SECONDS
        while not self._stopping.is_set():
            try:
                with closing(self._open()) as container:
                    log.info("source open", extra={"source": self._origin.shown})
                    if self._read(container):
                        retry = _FIRST_RETRY_SECONDS
                self._end()
            except (av.FFmpegError, OSError, SourceLost) as error:
                self._fail(error)
                self._stopping.wait(retry)
                retry = min(retry * 2, _LAST_RETRY_SECONDS)

    def _open(self) -> InputContainer:
        encoding = self._encoding
        if self._origin.value == TEST_PICTURE:
            return av.open(
                f"testsrc2=size={encoding.width}x{encoding.height}:rate={encoding.fps},format=yuv420p[out0];"
                "sine=frequency=440:beep_factor=4:sample_rate=48000:samples_per_frame=960[out1]",
                format="lavfi",
            )
        if self._origin.kind == "file":
            must_open(self._origin.value)
        options = _LIVE_OPTIONS if self._origin.live else {}
        if self._origin.value.startswith("rtsp"):
            options = {**options, "rtsp_transport": "tcp"}
        return av.open(self._origin.value, options=options, timeout=(_OPEN_TIMEOUT_SECONDS, _READ_TIMEOUT_SECONDS))

    def _read(self, container: InputContainer) -> bool:
        """Read to the end; tells whether there was anything."""
        branches = self._branches(container)
        first: float | None = None
        base = furthest = self._clock
        for packet in container.demux([container.streams[index] for index in branches]):
            if self._stopping.is_set():
                return True
            branch = branches[packet.stream.index]
            stamp = packet.dts if packet.dts is not None else packet.pts
            if stamp is None or packet.time_base is None:
                if first is not None:
                    self._emit(branch.units(packet, base - first))
                continue
            if self._idle() and self._origin.live and branch is self._video_encoder:
                self._video_encoder.rest()
                self._last_unit = time.monotonic()
                continue
            shown = float((packet.pts if packet.pts is not None else stamp) * packet.time_base)
            first = shown if first is None else first
            self._pace(max(base, base + float(stamp * packet.time_base) - first))
            if self._stopping.is_set():
                return True
            furthest = max(furthest, base + shown - first + float((packet.duration or 0) * packet.time_base))
            self._emit(branch.units(packet, base - first))
            self._clock = furthest
        if first is None:
            raise SourceLost("the source holds no picture")
        return True

    def _branches(self, container: InputContainer) -> dict[int, Branch]:
        branches: dict[int, Branch] = {}
        if not container.streams.video:
            raise SourceLost("the source holds no video")
        video = container.streams.video[0]
        self._video_encoded = not (self._encoding.passthrough and copyable(video))
        branches[video.index] = self._video_encoder if self._video_encoded else CopiedVideo(video)
        self.has_audio = bool(container.streams.audio)
        if self.has_audio:
            audio = container.streams.audio[0]
            branches[audio.index] = CopiedAudio() if opus(audio) else self._audio_encoder
        return branches

    def _emit(self, units: Iterator[Unit]) -> None:
        for unit in units:
            self._last_unit = time.monotonic()
            self._tell(self._sink, unit)
            if unit.kind == "video" and (not self._primed or self._failure):
                self._primed = True
                self._failure = None
                self._tell(self._settled.set)

    def _pace(self, moment: float) -> None:
        """Wait until a moment of the source's clock is due; late or idle time is left out, never hurried through."""
        if self._origin.live:
            return
        if self._idle():
            idle_since = time.monotonic()
            self._demand.wait()
            self._epoch += time.monotonic() - idle_since
        due = self._epoch + moment
        ahead = due - time.monotonic()
        if not -_LONGEST_LAG_SECONDS < ahead < _NO_LIMIT or self._failure:
            self._epoch = time.monotonic() - moment
        elif ahead > 0:
            self._stopping.wait(ahead)

    def _idle(self) -> bool:
        return self._primed and not self._failure and not self._demand.is_set()

    def _end(self) -> None:
        if self._origin.live:
            raise SourceLost("the source has ended")
        if self._loop_file or self._origin.value == TEST_PICTURE:
            return
        self._ended = True
        while self._demand.is_set() and not self._stopping.is_set():
            self._stopping.wait(0.1)
        self._ended = False

    def _fail(self, error: Exception) -> None:
        reason = error if isinstance(error, SourceLost) else SourceLost(scrub.text(str(error)))
        if self._failure is None:
            log.warning("source lost", extra={"source": self._origin.shown, "reason": str(reason)})
        self._failure = reason
        self._tell(self._settled.set)

    def _tell(self, function: Callable[..., object], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop is closed: the process is ending
            self._stopping.set()


def must_open(path: str) -> None:
    """Raise ``SourceMissing`` unless a local file can be read."""
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise SourceMissing(f"Local media source not found: {path}") from error
