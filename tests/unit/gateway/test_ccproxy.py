import json

import pytest

from gateway.ccproxy import lay_under
from gateway.settings import GatewaySettings


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "config.json"
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return path

    return write


@pytest.mark.parametrize("name", ["apikey", "api_key"])
def test_the_files_listener_and_key_are_used(write, name):
    path = write({"host": "0.0.0.0", "port": 1234, name: "secret"})
    settings = lay_under(GatewaySettings(ccproxy_config=path))
    assert settings.listener("llmproxy") == ("0.0.0.0", 1234)
    assert settings.llmproxy_key.get_secret_value() == "secret"


def test_what_was_said_elsewhere_wins(write):
    path = write({"host": "0.0.0.0", "port": 1234, "apikey": "file"})
    settings = lay_under(GatewaySettings(ccproxy_config=path, llmproxy_port=99, llmproxy_key="flag"))
    assert (settings.llmproxy_port, settings.llmproxy_key.get_secret_value()) == (99, "flag")


def test_a_key_may_be_a_variable(write, monkeypatch):
    monkeypatch.setenv("OUR_KEY", "from the environment")
    settings = lay_under(GatewaySettings(ccproxy_config=write({"apikey": "${OUR_KEY}"})))
    assert settings.llmproxy_key.get_secret_value() == "from the environment"


@pytest.mark.parametrize("text", ["{", "[]", '{"port": "x", "host": 7, "apikey": null}'])
def test_what_cannot_be_read_changes_nothing(write, text):
    given = GatewaySettings(ccproxy_config=write(text))
    assert lay_under(given) == given


def test_without_a_file_nothing_changes(tmp_path):
    given = GatewaySettings(ccproxy_config=tmp_path / "none.json")
    assert lay_under(given) == given
