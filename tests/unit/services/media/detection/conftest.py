"""Real speech, and sounds that are none."""

import os
import shutil
import subprocess
import wave

import numpy as np
import pytest

SAMPLE_RATE = 16_000
TEXT = "Good morning. This is a rather long sentence, spoken for somebody who listens to it."


@pytest.fixture(scope="session")
def speech(tmp_path_factory):
    """Let a machine speak; mono at 16 kHz between -1 and 1, a second of silence before and after."""
    program = shutil.which("espeak-ng")
    if program is None and not os.environ.get("CI"):
        pytest.skip("espeak-ng is not installed")
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    subprocess.run([program, "-w", path, TEXT], check=True)
    with wave.open(str(path)) as file:
        rate = file.getframerate()
        spoken = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16).astype(np.float32) / 32768
    times = np.arange(0, len(spoken) / rate, 1 / SAMPLE_RATE)
    spoken = np.interp(times, np.arange(len(spoken)) / rate, spoken).astype(np.float32)
    silence = np.zeros(SAMPLE_RATE, dtype=np.float32)
    return np.concatenate([silence, spoken, silence])


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
