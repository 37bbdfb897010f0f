import json
import subprocess
import sys
from pathlib import Path

import pytest

from commands import icey
from runtime import command

ROOT = Path(__file__).parents[3]
SEED_KEYS = {"status", "ready", "product", "service", "mode", "checks", "warnings"}


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch, tmp_path):
    for name in ("PULSEGATE_CONFIG", "ICEY_CONFIG", "ICEY_SOURCE", "ICEY_TURN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ICEY_TURN", "false")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def doctor(capsys):
    """Ask the doctor; returns the exit code and the report."""

    def ask(*flags):
        code = icey.main(["--doctor", *flags])
        return code, json.loads(capsys.readouterr().out)

    return ask


def check(report, name):
    return next((one["result"], one["detail"]) for one in report["checks"] if one["name"] == name)


def test_the_version_is_one_line_in_the_words_of_the_original(capsys):
    assert icey.main(["--version"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("icey-server ")
    assert said.count("\n") == 1


def test_the_report_is_that_of_the_readiness_route_without_what_only_running_shows(doctor):
    code, report = doctor()
    assert code == 0
    assert report.keys() >= SEED_KEYS
    assert not report.keys() & {"runtime", "uptimeSec"}
    assert (report["status"], report["ready"]) == ("degraded", True)
    assert [one["name"] for one in report["checks"]] == [
        "config", "openssl", "ffmpeg", "web_root", "ports", "source", "tls", "turn", "intelligence",
    ]  # fmt: skip


def test_the_report_is_indented_by_two(capsys):
    icey.main(["--doctor"])
    assert capsys.readouterr().out.startswith('{\n  "status": ')


def test_a_source_that_is_not_there_is_not_ready(doctor):
    code, report = doctor("--source", "/nowhere/x.mp4")
    assert (code, report["ready"], report["status"]) == (1, False, "error")
    assert check(report, "source") == ("fail", "Local media source not found: /nowhere/x.mp4")
    assert report["source"]["value"] == "x.mp4"


def test_credentials_in_a_source_are_never_told(doctor):
    _, report = doctor("--source", "rtsp://user:planted@camera.local/1?token=planted")
    assert report["source"] == {"value": "rtsp://camera.local/1?token=***", "kind": "rtsp", "remote": True}
    assert "planted" not in json.dumps(report)


def test_an_invalid_file_is_a_failed_check_and_nothing_of_it_is_used(doctor, tmp_path):
    file = tmp_path / "planted" / "icey.json"
    file.parent.mkdir()
    file.write_text('{"media": {"mode": "dance"}, "http": {"port": 4600}}')
    code, report = doctor("--icey-config", str(file))
    assert code == 1
    result, detail = check(report, "config")
    assert (result, report["mode"]) == ("fail", "stream")
    assert "invalid media.mode 'dance': expected stream, record, or relay" in detail
    assert (report["config"]["path"], report["config"]["valid"]) == ("icey.json", False)
    assert "planted" not in report["config"]["error"]


def test_a_file_that_is_asked_for_and_missing_ends_before_the_report(capsys):
    assert icey.main(["--doctor", "--icey-config", "none.json"]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Error: config file not found: none.json")


@pytest.mark.parametrize("flags", [["--unheard-of"], ["--mode", "dance"]])
def test_wrong_usage_is_two(flags):
    with pytest.raises(SystemExit) as ended:
        icey.main(["--doctor", *flags])
    assert ended.value.code == 2


def test_a_turn_server_that_was_asked_for_is_looked_for(doctor, monkeypatch, unused_udp_port):
    monkeypatch.setenv("ICEY_TURN", "true")
    monkeypatch.setenv("ICEY_TURN_PORT", str(unused_udp_port))
    code, report = doctor()
    assert code == 0
    assert check(report, "turn_reachable")[0] == "warn"
    assert report["turn"]["enabled"]


def test_the_command_leads_there_without_starting_the_process(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pulsegate", "media", "--version"])
    assert command.main() == 0
    assert capsys.readouterr().out.startswith("icey-server ")


@pytest.mark.parametrize("value", ["1", "true", "on"])
def test_a_container_may_ask_by_a_variable(monkeypatch, capsys, value):
    monkeypatch.setenv("ICEY_DOCTOR", value)
    monkeypatch.setattr(sys, "argv", ["pulsegate", "media", "--mode", "relay"])
    assert command.main() == 0
    assert json.loads(capsys.readouterr().out)["mode"] == "relay"


def test_a_variable_that_says_no_asks_nothing(monkeypatch):
    monkeypatch.setenv("ICEY_DOCTOR", "0")
    start = "import sys; from runtime.command import main; sys.argv[1:] = ['media', '--help']; main()"
    said = subprocess.run(
        [sys.executable, "-c", start], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )
    assert said.stdout.startswith("usage: pulsegate media")
