import json

import pytest

from gateway.icey import lay_under
from gateway.settings import GatewaySettings


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "icey.json"
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return path

    return write


WHOLE = {"http": {"host": "0.0.0.0", "port": 4711}, "auth": {"token": "secret"}, "webRoot": "web"}


def test_the_files_listener_page_and_token_are_used(write, tmp_path):
    settings = lay_under(GatewaySettings(icey_config=write(WHOLE)))
    assert settings.listener("media") == ("0.0.0.0", 4711)
    assert settings.media_token.get_secret_value() == "secret"
    assert settings.media_web_root == str(tmp_path / "web")


def test_what_was_said_elsewhere_wins(write):
    settings = lay_under(GatewaySettings(icey_config=write(WHOLE), media_port=99, media_token="flag"))
    assert (settings.media_port, settings.media_token.get_secret_value()) == (99, "flag")


@pytest.mark.parametrize("text", ["{", "[]", '{"http": 1, "auth": {"token": 7}, "webRoot": ""}'])
def test_what_cannot_be_read_changes_nothing(write, text):
    given = GatewaySettings(icey_config=write(text))
    assert lay_under(given) == given


def test_without_a_file_nothing_changes(tmp_path):
    given = GatewaySettings(icey_config=tmp_path / "none.json")
    assert lay_under(given) == given
