"""Pictures of one stream, decoded beside the transport for the detectors that look at them."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np

from services.media.detection.branch import Branch
from services.media.detection.inbox import Arrival, Inbox
from services.media.detection.sighting import Detector, Luma, Sighting
from services.media.unit import CLOCK_RATES

_FIRST_IS_LUMA = ("yuv", "gray", "nv12", "nv21")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VisionSettings:
    """Which pictures are looked at, and in which form; 0 and empty keep the source's."""

    every_nth_frame: int = 6
    min_interval_usec: int = 200_000
    queue_depth: int = 8
    width: int = 0
    height: int = 0
    pixel_format: str = ""


@dataclass
class VisionCounters:
    """What happened so far; numbers never fall but for the last ones."""

    seen: int = 0
    sampled: int = 0
    sampled_dropped: int = 0
    normalized: int = 0
    normalizer_dropped: int = 0
    normalizer_converted: int = 0
    detector_seen: int = 0
    detector_emitted: int = 0
    last_score: float = 0.0
    last_latency_usec: int = 0
    last_picture_usec: int = 0


@dataclass(frozen=True)
class Seen:
    """A sighting with the picture it was made in; times in microseconds."""

    detector: str
    sighting: Sighting
    frame_id: int
    pts_usec: int
    received_usec: int
    latency_usec: int
    width: int
    height: int
    pixel_format: str
    key: bool
    snapshot: str
    """Name of the snapshot; empty without one."""


class Vision(Branch):
    """Decodes every picture, since each needs those before it, and shows every nth one to the detectors.

    ``keep_picture`` is called on the thread with the picture of a sighting, its place on the stream's clock and when
    it came, and tells the name of its snapshot.
    """

    def __init__(
        self,
        settings: VisionSettings,
        detectors: Sequence[Detector],
        want_key: Callable[[], object],
        on_sighting: Callable[[Seen], None],
        keep_picture: Callable[[av.VideoFrame, int, int], str],
    ) -> None:
        self.counters = VisionCounters()
        self._settings = settings
        self._detectors = detectors
        self._on_sighting = on_sighting
        self._keep_picture = keep_picture
        self._sampled_usec: int | None = None
        self._decoder: Any = av.CodecContext.create("h264", "r")
        self._decoder.thread_count = 1
        super().__init__("vision", Inbox(settings.queue_depth * settings.every_nth_frame, want_key))

    def take(self, arrival: Arrival) -> None:
        """Decode a picture and look at it if its turn has come."""
        packet: av.Packet[Any] = av.Packet(arrival.unit.data)
        packet.pts = packet.dts = arrival.unit.timestamp
        packet.time_base = Fraction(1, CLOCK_RATES["video"])
        try:
            frames = self._decoder.decode(packet)
        except av.FFmpegError:
            return  # damaged; the decoder goes on with the next key frame
        for frame in frames:
            self.counters.seen += 1
            self.counters.last_picture_usec = arrival.at_usec
            if self.counters.seen % self._settings.every_nth_frame == 0:
                self._sample(frame, arrival)

    def _sample(self, frame: av.VideoFrame, arrival: Arrival) -> None:
        counters = self.counters
        pts_usec = arrival.unit.timestamp * 1_000_000 // CLOCK_RATES["video"]
        if self._sampled_usec is not None and 0 <= pts_usec - self._sampled_usec < self._settings.min_interval_usec:
            counters.sampled_dropped += 1
            return
        self._sampled_usec = pts_usec
        counters.sampled += 1
        picture = self._normalized(frame)
        if picture is None:
            return
        luma = _luma(picture)
        for detector in self._detectors:
            counters.detector_seen += 1
            sighting = detector.look(luma, pts_usec)
            counters.last_score = detector.last_score
            counters.last_latency_usec = time.time_ns() // 1000 - arrival.at_usec
            if sighting:
                counters.detector_emitted += 1
                self.tell(self._on_sighting, self._seen(detector.name, sighting, frame, arrival, pts_usec))

    def _normalized(self, frame: av.VideoFrame) -> av.VideoFrame | None:
        settings = self._settings
        size = settings.width or frame.width, settings.height or frame.height
        form = settings.pixel_format or frame.format.name
        if (*size, form) == (frame.width, frame.height, frame.format.name):
            return frame
        try:
            picture = frame.reformat(*size, format=form)
        except (av.FFmpegError, ValueError):
            self.counters.normalizer_dropped += 1
            return None
        self.counters.normalized += 1
        self.counters.normalizer_converted += form != frame.format.name
        return picture

    def _seen(self, detector: str, sighting: Sighting, frame: av.VideoFrame, arrival: Arrival, pts_usec: int) -> Seen:
        return Seen(
            detector,
            sighting,
            self.counters.seen,
            pts_usec,
            arrival.at_usec,
            self.counters.last_latency_usec,
            frame.width,
            frame.height,
            frame.format.name,
            arrival.unit.key,
            self._keep_picture(frame, pts_usec, arrival.at_usec),
        )


def _luma(frame: av.VideoFrame) -> Luma:
    """View the brightness of a picture without copying it, where its form allows that."""
    if not frame.format.name.startswith(_FIRST_IS_LUMA):
        frame = frame.reformat(format="gray")
    plane = frame.planes[0]
    return np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
