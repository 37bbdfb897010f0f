"""Real speech for tests, spoken by espeak-ng."""

import os
import shutil
import subprocess
import wave

import numpy as np
import pytest

TEXT = "Good morning. This is a rather long sentence, spoken for somebody who listens to it."


def spoken(folder, rate):
    """Return mono samples between -1 and 1, a second of silence before and after the words."""
    program = shutil.which("espeak-ng")
    if program is None and not os.environ.get("CI"):
        pytest.skip("espeak-ng is not installed")
    path = folder / "speech.wav"
    subprocess.run([program, "-w", path, TEXT], check=True)
    with wave.open(str(path)) as file:
        own_rate = file.getframerate()
        words = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16).astype(np.float32) / 32768
    times = np.arange(0, len(words) / own_rate, 1 / rate)
    words = np.interp(times, np.arange(len(words)) / own_rate, words).astype(np.float32)
    silence = np.zeros(rate, dtype=np.float32)
    return np.concatenate([silence, words, silence])
