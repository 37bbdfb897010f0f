"""Real speech, and sounds that are none."""

from fractions import Fraction

import av
import numpy as np
import pytest

from services.media.unit import Unit
from tests.speech import spoken

SAMPLE_RATE = 16_000


@pytest.fixture(scope="session")
def speech(tmp_path_factory):
    """Let a machine speak; mono at 16 kHz between -1 and 1, a second of silence before and after."""
    return spoken(tmp_path_factory.mktemp("speech"), SAMPLE_RATE)


@pytest.fixture(scope="session")
def spoken_packets(tmp_path_factory):
    """Tell the same as Opus packets of 20 ms, as a publisher sends them."""
    samples = spoken(tmp_path_factory.mktemp("speech"), 48_000)
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "mono", "s16"
    units = []
    for start in range(0, len(samples) - 959, 960):
        frame = av.AudioFrame.from_ndarray(
            (samples[start : start + 960] * 32767).astype(np.int16).reshape(1, -1), format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        units += [Unit("audio", bytes(packet), 480_000 + start, key=True) for packet in encoder.encode(frame)]
    return units


def _seconds(seconds):
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


@pytest.fixture(params=["tone", "noise", "chord", "silence"])
def no_speech(request):
    """Make four seconds of what is not speech."""
    times = _seconds(4)
    noise = np.random.default_rng(1).normal(0, 0.2, len(times))
    strings = sum(np.sin(2 * np.pi * f * times) * np.exp(-2 * (times % 0.5)) for f in (220, 277, 330, 440)) / 8
    made = {
        "tone": 0.5 * np.sin(2 * np.pi * 440 * times),
        "noise": noise.clip(-1, 1),
        "chord": strings,
        "silence": np.zeros(len(times)),
    }
    return made[request.param].astype(np.float32)
