"""How a demuxed packet becomes units: copied where every browser can decode it, else decoded and encoded once."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Protocol, cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.stream import VideoStream

from services.media.unit import CLOCK_RATES, Unit

VIDEO_TIME_BASE = Fraction(1, CLOCK_RATES["video"])
AUDIO_TIME_BASE = Fraction(1, CLOCK_RATES["audio"])

_OPUS_FRAME_SAMPLES = 960
_LARGEST_AUDIO_DRIFT = CLOCK_RATES["audio"] // 10
_SECONDS_BETWEEN_KEYS = 2
_PLAIN_PROFILES = {"Baseline", "Constrained Baseline", "Main"}


class Branch(Protocol):
    """Makes units out of the packets of one stream; ``offset`` puts them on the source's continuous clock."""

    def units(self, packet: "av.Packet[Any]", offset: float) -> Iterator[Unit]:
        """Yield what this packet completes; an empty packet flushes."""
        ...


class CopiedVideo:
    """H.264 as it is, brought into Annex B form with its parameter sets in band."""

    def __init__(self, stream: VideoStream) -> None:
        self._begun = False
        self._to_annex_b = av.BitStreamFilterContext("h264_mp4toannexb", stream)

    def units(self, packet: "av.Packet[Any]", offset: float) -> Iterator[Unit]:
        """Yield access units in decoding order, which is display order without B frames."""
        if not packet.size:
            return
        for part in self._to_annex_b.filter(packet):
            self._begun = self._begun or part.is_keyframe
            if not self._begun:
                continue  # joined a live source in the middle of a group
            seconds = offset + _seconds(part.pts if part.pts is not None else part.dts, part.time_base)
            yield Unit("video", bytes(part), round(seconds * CLOCK_RATES["video"]), part.is_keyframe)


def copyable(stream: VideoStream) -> bool:
    """Tell whether every browser can decode this stream as it is."""
    context = stream.codec_context
    return (
        context.name == "h264"
        and context.profile in _PLAIN_PROFILES
        and not context.has_b_frames
        and context.pix_fmt in ("yuv420p", "yuvj420p")
    )


class EncodedVideo:
    """Anything decodable, encoded as constrained-baseline H.264 without delay; a key frame can be asked for.

    Its encoder outlives the file that is read, so a loop or a reopened source goes on in the same sequence.
    """

    def __init__(self, width: int, height: int, fps: int, bitrate: int) -> None:
        self._most = (width, height)
        self._fps = fps
        self._bitrate = bitrate
        self._encoder: VideoCodecContext | None = None
        self._key_wanted = False
        self._next_due = float("-inf")
        self._resting = False

    def rest(self) -> None:
        """Forget what was decoded: packets are left out now, and what follows them would only look broken."""
        self._resting = True

    def want_key(self) -> None:
        """Make the next picture a key frame; may be called from any thread."""
        self._key_wanted = True

    def units(self, packet: "av.Packet[Any]", offset: float) -> Iterator[Unit]:
        """Yield one access unit per picture, leaving out pictures beyond the frame rate."""
        self._resting = self._resting and not packet.is_keyframe
        if self._resting:
            return
        for frame in packet.decode():
            yield from self.encode(frame, offset)

    def encode(self, frame: av.VideoFrame, offset: float) -> Iterator[Unit]:
        """Yield the access unit of one picture, unless it is beyond the frame rate."""
        seconds = offset + _seconds(frame.pts, frame.time_base)
        if abs(seconds - self._next_due) > 1.0:
            self._next_due = seconds
        if seconds < self._next_due - 0.25 / self._fps:
            return
        self._next_due = max(self._next_due, seconds - 1.0 / self._fps) + 1.0 / self._fps
        yield from self._encode(frame, round(seconds * CLOCK_RATES["video"]))

    def _encode(self, frame: av.VideoFrame, timestamp: int) -> Iterator[Unit]:
        size = fit((frame.width, frame.height), self._most)
        if self._encoder is None or (self._encoder.width, self._encoder.height) != size:
            self._encoder = self._open(size)
        picture = frame.reformat(*size, format="yuv420p")
        picture.pts, picture.time_base = timestamp, VIDEO_TIME_BASE
        picture.pict_type = PictureType.I if self._key_wanted else PictureType.NONE
        self._key_wanted = False
        for packet in self._encoder.encode(picture):
            yield Unit("video", bytes(packet), timestamp, packet.is_keyframe)

    def _open(self, size: tuple[int, int]) -> VideoCodecContext:
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height = size
        encoder.pix_fmt = "yuv420p"
        encoder.time_base = VIDEO_TIME_BASE
        encoder.framerate = Fraction(self._fps)
        encoder.bit_rate = self._bitrate
        encoder.gop_size = self._fps * _SECONDS_BETWEEN_KEYS
        rate = self._bitrate // 1000
        # One slice per picture: a slice per thread would break the equal-sized fragments of the fan-out.
        encoder.options = {
            "preset": "veryfast",
            "tune": "zerolatency",
            "profile": "baseline",
            "forced-idr": "1",
            "x264-params": f"threads=1:sliced-threads=0:scenecut=0:vbv-maxrate={rate}:vbv-bufsize={rate // 4}",
        }
        return encoder


class CopiedAudio:
    """Opus as it is."""

    def units(self, packet: "av.Packet[Any]", offset: float) -> Iterator[Unit]:
        """Yield the packet itself."""
        if packet.size:
            seconds = offset + _seconds(packet.pts, packet.time_base)
            yield Unit("audio", bytes(packet), round(seconds * CLOCK_RATES["audio"]), key=True)


class EncodedAudio:
    """Any sound as stereo Opus in packets of 20 ms."""

    def __init__(self, bitrate: int) -> None:
        self._bitrate = bitrate
        self._resampler = self._new_resampler()
        self._encoder = self._open()
        self._clock: int | None = None

    def units(self, packet: "av.Packet[Any]", offset: float) -> Iterator[Unit]:
        """Yield packets on a gapless clock, which jumps only where the source does."""
        for frame in cast("list[av.AudioFrame]", packet.decode()):
            yield from self.encode(frame, offset)

    def encode(self, frame: av.AudioFrame, offset: float) -> Iterator[Unit]:
        """Yield the packets that one frame completes."""
        start = round((offset + _seconds(frame.pts, frame.time_base)) * CLOCK_RATES["audio"])
        if self._clock is None or abs(start - self._clock) > _LARGEST_AUDIO_DRIFT:
            self._clock = start
            self._resampler = self._new_resampler()
        frame.pts = None
        for piece in self._resampler.resample(frame):
            piece.pts, piece.time_base = self._clock, AUDIO_TIME_BASE
            yield from (Unit("audio", bytes(packet), self._clock, key=True) for packet in self._encoder.encode(piece))
            self._clock += piece.samples

    def _open(self) -> AudioCodecContext:
        encoder = av.CodecContext.create("libopus", "w")
        encoder.sample_rate = CLOCK_RATES["audio"]
        encoder.layout = "stereo"
        encoder.format = "s16"
        encoder.bit_rate = self._bitrate
        encoder.time_base = AUDIO_TIME_BASE
        return encoder

    def _new_resampler(self) -> av.AudioResampler:
        return av.AudioResampler("s16", "stereo", CLOCK_RATES["audio"], frame_size=_OPUS_FRAME_SAMPLES)


def opus(stream: AudioStream) -> bool:
    """Tell whether a stream is Opus already."""
    return stream.codec_context.name in ("opus", "libopus")


def fit(size: tuple[int, int], most: tuple[int, int]) -> tuple[int, int]:
    """Shrink a size into another, keeping its shape; both sides of the result are even."""
    scale = min(1.0, most[0] / size[0], most[1] / size[1])
    return max(2, int(size[0] * scale) // 2 * 2), max(2, int(size[1] * scale) // 2 * 2)


def _seconds(ticks: int | None, time_base: Fraction | None) -> float:
    return float(ticks * time_base) if ticks is not None and time_base is not None else 0.0
