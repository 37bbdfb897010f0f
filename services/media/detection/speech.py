"""Sound of one stream, decoded beside the transport for the detector that listens to it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from services.media.detection.branch import Branch
from services.media.detection.inbox import Arrival, Inbox
from services.media.detection.voice import CHUNK_SAMPLES, SAMPLE_RATE, Voice, VoiceDetector
from services.media.unit import CLOCK_RATES

_LARGEST_GAP = CLOCK_RATES["audio"] // 5


@dataclass
class SpeechCounters:
    """What happened so far."""

    detector_seen: int = 0
    detector_emitted: int = 0
    last_sound_usec: int = 0
    last_level: float = 0.0
    last_peak: float = 0.0
    voiced: bool = False
    """Somebody speaks now."""


@dataclass(frozen=True)
class Heard:
    """A word on speech with the piece of sound it was said about; times in microseconds."""

    detector: str
    voice: Voice
    sequence: int
    time_usec: int
    received_usec: int


class Speech(Branch):
    """Decodes every packet and hands it, as mono at 16 kHz, to the detector in chunks of 32 ms.

    The detector is made on the thread, because a network takes its time to load.
    """

    def __init__(
        self, make_detector: Callable[[], VoiceDetector], queue_depth: int, on_voice: Callable[[Heard], None]
    ) -> None:
        self.counters = SpeechCounters()
        self._make_detector = make_detector
        self._made: VoiceDetector | None = None
        self._on_voice = on_voice
        self._decoder: Any = av.CodecContext.create("opus", "r")
        self._decoder.sample_rate = CLOCK_RATES["audio"]
        self._decoder.layout = "stereo"
        self._expected: int | None = None
        self._start = 0
        self._chunks = 0
        self._resampler = _resampler()
        super().__init__("speech", Inbox(queue_depth, lambda: None))

    def take(self, arrival: Arrival) -> None:
        """Decode a packet and hear what it completes."""
        self.counters.last_sound_usec = arrival.at_usec
        unit = arrival.unit
        if self._expected is None or abs(unit.timestamp - self._expected) > _LARGEST_GAP:
            self._start, self._chunks = unit.timestamp, 0
            self._resampler = _resampler()
            self._tell(self._detector().end(), arrival)
        packet: av.Packet[Any] = av.Packet(unit.data)
        packet.pts = packet.dts = unit.timestamp
        packet.time_base = Fraction(1, CLOCK_RATES["audio"])
        try:
            frames = self._decoder.decode(packet)
        except av.FFmpegError:
            return
        self._expected = unit.timestamp + sum(frame.samples for frame in frames)
        for frame in frames:
            frame.pts = None
            for piece in self._resampler.resample(frame):
                self._hear(piece, arrival)

    def _hear(self, piece: av.AudioFrame, arrival: Arrival) -> None:
        self.counters.detector_seen += 1
        self._chunks += 1
        detector, counters = self._detector(), self.counters
        self._tell(detector.hear(piece.to_ndarray()[0].copy(), self._time_usec()), arrival)
        counters.last_level, counters.last_peak = detector.last_level, detector.last_peak
        counters.voiced = detector.active

    def _detector(self) -> VoiceDetector:
        if self._made is None:
            self._made = self._make_detector()
        return self._made

    def _tell(self, voices: Iterable[Voice], arrival: Arrival) -> None:
        for voice in voices:
            self.counters.detector_emitted += 1
            heard = Heard(self._detector().name, voice, self.counters.detector_seen, self._time_usec(), arrival.at_usec)
            self.tell(self._on_voice, heard)

    def _time_usec(self) -> int:
        """Tell where the chunk that is heard begins on the clock of the stream."""
        since = max(0, self._chunks - 1) * CHUNK_SAMPLES * 1_000_000 // SAMPLE_RATE
        return self._start * 1_000_000 // CLOCK_RATES["audio"] + since


def _resampler() -> av.AudioResampler:
    return av.AudioResampler("flt", "mono", SAMPLE_RATE, frame_size=CHUNK_SAMPLES)
