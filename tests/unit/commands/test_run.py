import json
import shlex

import pytest

from commands import run
from gateway.settings import GatewaySettings


@pytest.mark.parametrize("name", run.TRIES)
def test_every_facade_has_a_command_that_a_shell_understands(name):
    words = shlex.split(run.command(GatewaySettings(), name))
    assert words[:2] == ["curl", "-s"]
    assert words[2].startswith("http://127.0.0.1:")
    if "-d" in words:
        json.loads(words[words.index("-d") + 1])


def test_the_table_shows_the_ports_that_were_set():
    settings = GatewaySettings(converter_port=5001, host="0.0.0.0")
    table = run.table(settings, {"converter": "serving"})
    assert "curl -s http://127.0.0.1:5001/api/convert" in table
    assert "  http://127.0.0.1:8080/ shows all of it live." in table


def test_a_gateway_that_does_not_answer_has_said_nothing():
    assert run.ask("http://127.0.0.1:1/readyz") == {}
