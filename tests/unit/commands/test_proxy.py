import json
import shlex
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from commands import code, env, proxy, session
from commands.proxy import Answer
from gateway.settings import GatewaySettings

KEY = 'a key\'; echo $HOME `id` "x"'


@pytest.fixture
def listening():
    """A server that answers every GET as the test says."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(dict(self.headers))
            status, body = answer
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    seen, answer = [], (200, b'{"service":"CCProxy"}')

    def set_answer(status, body):
        nonlocal answer
        answer = (status, body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        server.answer, server.seen = set_answer, seen
        yield server
        server.shutdown()
        thread.join()


def settings(port, **more):
    return GatewaySettings(llmproxy_port=port, **more)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, json.dumps({"service": "CCProxy", "status": "running"}).encode(), Answer.READY),
        (503, b"{}", Answer.NOT_READY),
        (200, b'{"service":"something else"}', Answer.ANOTHER),
        (200, b"<html>", Answer.ANOTHER),
        (200, b"[]", Answer.ANOTHER),
        (404, b"", Answer.ANOTHER),
    ],
)
def test_what_listens_is_told_by_its_status(listening, status, body, expected):
    listening.answer(status, body)
    assert proxy.ask(settings(listening.server_port)) is expected


def test_the_key_goes_along_where_there_is_one(listening):
    proxy.ask(settings(listening.server_port, llmproxy_key="ours"))
    proxy.ask(settings(listening.server_port))
    assert [headers.get("X-Api-Key") for headers in listening.seen] == ["ours", None]


def test_where_nothing_listens_is_nothing(listening):
    port = listening.server_port
    listening.shutdown()  # or the thread might still take what comes
    listening.server_close()
    assert proxy.ask(settings(port)) is Answer.NOTHING


@pytest.mark.parametrize(
    ("told", "address"),
    [
        (GatewaySettings(), "http://127.0.0.1:3456"),
        (GatewaySettings(host="0.0.0.0", llmproxy_key="k", llmproxy_port=1), "http://127.0.0.1:1"),
        (GatewaySettings(host="::", llmproxy_key="k"), "http://[::1]:3456"),
        (GatewaySettings(host="10.1.2.3"), "http://127.0.0.1:3456"),
    ],
)
def test_the_address_is_one_to_call(told, address):
    assert proxy.address(told) == address


def test_the_variables_are_those_of_the_original():
    assert proxy.environment(GatewaySettings()) == {
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:3456",
        "ANTHROPIC_AUTH_TOKEN": "test",
        "API_TIMEOUT_MS": "600000",
    }
    assert proxy.environment(GatewaySettings(llmproxy_key="ours"))["ANTHROPIC_API_KEY"] == "ours"


def test_a_vendors_key_is_not_for_the_proxy():
    inherited = {"ANTHROPIC_API_KEY": "sk-ant-vendor", "PATH": "/bin"}
    assert "ANTHROPIC_API_KEY" not in code.client_environment(inherited, GatewaySettings())
    ours = code.client_environment(inherited, GatewaySettings(llmproxy_key="ours"))
    assert (ours["ANTHROPIC_API_KEY"], ours["PATH"]) == ("ours", "/bin")


def test_what_env_prints_is_safe_for_a_shell_whatever_the_key_is(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CCPROXY_API_KEY", KEY)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert env.main([]) == 0
    printed = capsys.readouterr().out
    assert all(line.startswith("export ") and len(shlex.split(line)) == 2 for line in printed.splitlines())
    script = printed + f"exec {shlex.quote(sys.executable)} -c \"import os; print(os.environ['ANTHROPIC_API_KEY'])\""
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.rstrip("\n") == KEY


def test_a_session_keeps_out_of_the_way_of_everything_else():
    chosen = session.variables(GatewaySettings())
    assert {chosen[f"PULSEGATE_GATEWAY_{name}_PORT"] for name in ("CONVERTER", "MEDIA", "OPERATOR")} == {"0"}
    assert {chosen[f"PULSEGATE_GATEWAY_{name}_HOST"] for name in ("CONVERTER", "MEDIA", "OPERATOR")} == {"127.0.0.1"}
    assert chosen["PULSEGATE_LLMPROXY_ADDRESS"] == chosen["PULSEGATE_GATEWAY_LLMPROXY_TARGET"] != "127.0.0.1:50053"
    elsewhere = session.variables(GatewaySettings(llmproxy_target="llm.example:50053"))
    assert "PULSEGATE_GATEWAY_LLMPROXY_TARGET" not in elsewhere


def test_the_client_ends_with_the_code_it_has():
    assert code.run("/bin/sh", ["-c", "exit 7"], {}) == 7
    assert code.run("/bin/sh", ["-c", "kill -9 $$"], {}) == 137
