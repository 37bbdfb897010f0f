"""Encoded footage as a publisher sends it."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from services.media.unit import CLOCK_RATES, Unit

RATE = 30


def pictures(seconds, group, size=(320, 180)):
    """Encode a moving bar as H.264 access units, a key frame at the head of every group."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = size
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, RATE), Fraction(RATE)
    encoder.gop_size = group
    encoder.options = {"tune": "zerolatency", "profile": "baseline", "preset": "ultrafast", "x264-params": "scenecut=0"}
    for number in range(round(seconds * RATE)):
        image = np.zeros((size[1], size[0], 3), dtype=np.uint8)
        image[:, (number * 7) % size[0] :][:, :20] = 200
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = number, encoder.time_base
        for packet in encoder.encode(frame):
            yield Unit("video", bytes(packet), number * CLOCK_RATES["video"] // RATE, packet.is_keyframe)


def sound(seconds):
    """Encode a tone as Opus packets of 20 ms."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = CLOCK_RATES["audio"], "stereo", "s16"
    wave = (np.sin(np.arange(round(seconds * 48_000)) / 48_000 * 440 * 2 * np.pi) * 8000).astype(np.int16)
    for start in range(0, len(wave) - 959, 960):
        both = np.repeat(wave[start : start + 960], 2).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(both, format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        for packet in encoder.encode(frame):
            yield Unit("audio", bytes(packet), start, key=True)


def later(unit, seconds):
    return replace(unit, timestamp=unit.timestamp + round(seconds * CLOCK_RATES[unit.kind]))


@pytest.fixture(scope="session")
def footage():
    """Make units of picture and sound in the order of time, beginning at any moment of a publisher's clock."""
    made = {}

    def make(seconds, *, group=30, since=1000.0, kinds=("video", "audio"), size=(320, 180)):
        wanted = (seconds, group, kinds, size)
        if wanted not in made:
            units = [*(pictures(seconds, group, size) if "video" in kinds else ())]
            units += sound(seconds) if "audio" in kinds else ()
            made[wanted] = sorted(units, key=lambda unit: unit.timestamp / CLOCK_RATES[unit.kind])
        return [
            replace(unit, timestamp=unit.timestamp + round(since * CLOCK_RATES[unit.kind])) for unit in made[wanted]
        ]

    return make


class Publisher:
    """Sends what a test pushes."""

    def __init__(self, label="live", kinds=("video", "audio"), want_key=lambda: True):
        self.publisher, self.label, self.kinds, self.want_key = "abc", label, kinds, want_key
        self.listeners, self.endings = [], []

    def listen(self, listener):
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def on_end(self, function):
        self.endings.append(function)

    def push(self, units):
        for unit in units:
            for listener in self.listeners:
                listener(unit)

    def end(self):
        for function in self.endings:
            function()


@pytest.fixture
def publishing():
    """Make publishers."""
    return Publisher


class Film:
    """What a player finds in a file."""

    def __init__(self, path):
        with av.open(str(path)) as container:
            self.codecs = [stream.codec_context.name for stream in container.streams]
            self.listed = {stream.type: stream.frames for stream in container.streams}
            packets = [
                (packet.stream.type, float(packet.pts * packet.time_base), packet.is_keyframe, bytes(packet))
                for packet in container.demux()
                if packet.size
            ]
        self.times = {kind: [time for one, time, _, _ in packets if one == kind] for kind in ("video", "audio")}
        self.keys = [time for kind, time, key, _ in packets if key and kind == "video"]
        self.data = [data for kind, _, _, data in packets if kind == "video"]
        with av.open(str(path)) as container:
            self.shown = sum(1 for _ in container.decode(video=0)) if container.streams.video else 0
        self.boxes = boxes(path.read_bytes())


def boxes(data):
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        found.append(data[at + 4 : at + 8].decode())
        at += size or len(data)
    return found


@pytest.fixture
def film():
    """Read a file as a player does."""
    return Film
