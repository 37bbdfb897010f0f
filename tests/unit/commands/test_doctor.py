import json
import socket

import pytest

from commands import doctor


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch):
    for name in ("PULSEGATE_CONFIG", "PULSEGATE_GATEWAY_OPERATOR_PORT"):
        monkeypatch.delenv(name, raising=False)


def settings(process):
    return {one.name: (one.value, one.source) for one in process.settings}


def test_each_setting_is_told_with_where_it_comes_from(monkeypatch, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text("[gateway]\nhost = '127.0.0.2'\noperator_port = 1\n")
    monkeypatch.setenv("PULSEGATE_CONFIG", str(file))
    monkeypatch.setenv("PULSEGATE_GATEWAY_OPERATOR_PORT", "2")
    told = settings(doctor.examine("gateway"))
    assert told["host"] == ("127.0.0.2", "file")
    assert told["operator_port"] == ("2", "environment")
    assert told["drain_seconds"] == ("0.5", "default")


def test_secrets_are_set_or_not_and_never_told(monkeypatch, capsys):
    monkeypatch.setenv("CCPROXY_API_KEY", "very-secret")
    monkeypatch.setenv("CCPROXY_PROXY_URL", "http://somebody:very-secret@proxy:1")
    assert settings(doctor.examine("gateway"))["llmproxy_key"] == ("(set)", "environment")
    assert settings(doctor.examine("gateway"))["media_token"] == ("(not set)", "default")
    assert settings(doctor.examine("llmproxy"))["proxy_url"] == ("http://(hidden)@proxy:1", "environment")
    for format_flags in ([], ["--json"]):
        doctor.main(["--gateway", "http://127.0.0.1:1", "--all", *format_flags])
        assert "very-secret" not in capsys.readouterr().out


def test_a_value_that_no_process_would_start_with_is_a_problem_and_the_exit_code_says_so(monkeypatch, capsys):
    monkeypatch.setenv("PULSEGATE_GATEWAY_OPERATOR_PORT", "99999")
    assert doctor.main(["--gateway", "http://127.0.0.1:1"]) == 1
    (problem,) = [line for line in capsys.readouterr().out.splitlines() if "✕" in line]
    assert "gateway.operator_port: " in problem.lower().replace("pulsegate_gateway_", "")


def test_a_settings_file_that_cannot_be_read_is_a_problem(monkeypatch, tmp_path):
    monkeypatch.setenv("PULSEGATE_CONFIG", str(tmp_path / "nowhere.toml"))
    (problem,) = doctor.examine("gateway").problems
    assert problem.startswith(f"settings file {tmp_path / 'nowhere.toml'}: ")


def test_a_mistyped_variable_is_named(monkeypatch):
    monkeypatch.setenv("PULSEGATE_GATEWAY_PROT", "1")
    assert doctor.examine("gateway").warnings == ["unknown setting PULSEGATE_GATEWAY_PROT is ignored"]


def test_a_listener_is_free_or_taken(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("PULSEGATE_GATEWAY_OPERATOR_PORT", str(taken.getsockname()[1]))
        monkeypatch.setenv("PULSEGATE_GATEWAY_CONVERTER_PORT", "1")
        found = {one.name: one.listens for one in doctor.examine("gateway").listeners}
    assert (found["operator"], found["converter"]) == (True, False)


def test_the_report_is_also_json(capsys):
    doctor.main(["--gateway", "http://127.0.0.1:1", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in report["processes"]] == list(doctor.SETTINGS)
    assert report["environment"]["pulsegate"]
    assert report["gateway"] == {}
