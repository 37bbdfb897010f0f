"""One MP4 file that can be played at any moment of its growth, and is an ordinary one when it is complete."""

import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.stream import Stream

from services.media.unit import CLOCK_RATES, Kind, Unit

FRAGMENT_SECONDS = 1
"""The most that a crash can cost of what was written: a fragment that has begun."""

_LONGEST_INTERLEAVE_SECONDS = 0.5  # a silent track must not hold the other one back
_OPTIONS = {
    # Fragments while it grows; closing it turns them into the media of an ordinary file with one index. Without
    # delay_moov a track that begins later than the other would begin with it.
    "movflags": "+hybrid_fragmented+frag_keyframe+delay_moov",
    "frag_duration": str(FRAGMENT_SECONDS * 1_000_000),
    "max_interleave_delta": str(round(_LONGEST_INTERLEAVE_SECONDS * 1_000_000)),
    "flush_packets": "1",
    "video_track_timescale": str(CLOCK_RATES["video"]),
}


class Unwritable(Exception):
    """The file cannot be written; says why."""


class Mp4:
    """Takes H.264 access units and Opus packets; not safe for threads, and every call may wait for the disk.

    Whatever goes wrong is raised as ``Unwritable``. What was written before stays playable then.
    """

    def __init__(self, path: Path, first_key: Unit | None, *, sound: bool) -> None:
        self._disk = _Disk(path)
        self._streams: dict[Kind, Stream] = {}
        self._last: dict[Kind, int] = {"video": -1, "audio": -1}
        self._completed = False
        try:
            with _explained():
                self._container = av.open(self._disk, "w", format="mp4", options=_OPTIONS)
                if first_key:
                    self._streams["video"] = _picture_stream(self._container, first_key)
                if sound:
                    self._streams["audio"] = self._container.add_stream("libopus", rate=CLOCK_RATES["audio"])
        except Unwritable:
            self._disk.close()
            raise

    @property
    def size_bytes(self) -> int:
        """How large the file is now."""
        return self._disk.size

    def add(self, unit: Unit, ticks: int) -> None:
        """Write a unit, due ``ticks`` of its clock after the beginning, unless it is not later than the last one."""
        if ticks <= self._last[unit.kind] or unit.kind not in self._streams:
            return
        self._last[unit.kind] = ticks
        packet: av.Packet[Any] = av.Packet(unit.data)
        packet.stream = self._streams[unit.kind]
        packet.time_base = Fraction(1, CLOCK_RATES[unit.kind])
        packet.pts = packet.dts = ticks
        packet.is_keyframe = unit.key
        with _explained():
            self._container.mux(packet)

    def complete(self) -> None:
        """Complete the file and bring it to the disk; it stays locked."""
        if not self._completed:
            self._completed = True
            with _explained():
                self._container.close()
                self._disk.sync()

    def close(self) -> None:
        """Complete the file, unless that has been done or has failed, and let go of it."""
        try:
            self.complete()
        finally:
            self._disk.close()


def mend(broken: Path, whole: Path) -> float:
    """Make a complete file of one whose writing was cut off, and tell its seconds; 0 when nothing of it is left.

    Raises ``Unwritable``.
    """
    try:
        source = av.open(str(broken))
    except (av.FFmpegError, OSError):
        return 0.0  # cut off before its first fragment
    with closing(source), _explained():
        disk = _Disk(whole)
        try:
            with av.open(disk, "w", format="mp4", options=_OPTIONS) as target:
                copies = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
                seconds = 0.0
                for packet in _readable(source):
                    if packet.dts is not None and packet.time_base is not None:
                        seconds = max(seconds, float(packet.dts * packet.time_base))
                        packet.stream = copies[packet.stream.index]
                        target.mux(packet)
            disk.sync()
        finally:
            disk.close()
    return seconds


def _readable(source: av.container.InputContainer) -> Iterator["av.Packet[Any]"]:
    try:
        yield from source.demux()
    except av.FFmpegError:
        return  # the fragment that was being written


def _picture_stream(container: av.container.OutputContainer, first_key: Unit) -> Stream:
    """Add a stream with the parameter sets of its first picture; the demuxer wants two of them to know it for H.264."""
    with av.open(io.BytesIO(first_key.data * 2), format="h264") as parsed:
        if not parsed.streams.video[0].codec_context.width:
            raise Unwritable("the first picture has no parameter sets")
        return container.add_stream_from_template(parsed.streams.video[0])


class _Disk:
    """A file that is written whole or not at all, for a container."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise Unwritable(error.strerror or str(error)) from error
        with suppress(OSError):  # some network file systems know no locks
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.size = 0

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.size = max(self.size, self._file.tell())
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    @property
    def closed(self) -> bool:
        return self._file.closed  # the container asks, so that it writes no index after a failure

    def close(self) -> None:
        self._file.close()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        raise Unwritable(error.strerror or str(error)) from error
