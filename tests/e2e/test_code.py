"""`pulsegate code` and `env` as a person uses them: real processes, and Claude Code itself."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.e2e.system import OF_THE_ORIGINALS, free_ports, request, wait_for
from tests.installed import node_package, or_skip

PULSEGATE = Path(sys.executable).with_name("pulsegate")
CLAUDE_CODE = "@anthropic-ai/claude-code@2.1.197"
TOLD = "Grüße aus Zürich"
CHUNKS = [
    {"choices": [{"index": 0, "delta": {"content": TOLD}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 5}},
]
FAKE = """#!/bin/sh
echo "$ANTHROPIC_BASE_URL $ANTHROPIC_AUTH_TOKEN $API_TIMEOUT_MS ${ANTHROPIC_API_KEY-none} $*"
if [ "$1" = wait ]; then read line; fi
exit 3
"""


class Vendor(BaseHTTPRequestHandler):
    """A vendor that always says the same."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for chunk in CHUNKS:
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_):
        pass


@pytest.fixture
def vendor():
    with ThreadingHTTPServer(("127.0.0.1", 0), Vendor) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


class Home:
    """A person's home with a configuration of CCProxy, and a port nobody else has."""

    def __init__(self, folder, vendor):
        (self.port,) = free_ports(1)
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.port}"
        provider = {"name": "mine", "api_base_url": vendor, "models": ["m"]}
        routes = {"default": {"provider": "mine", "model": "m"}}
        (folder / ".ccproxy").mkdir()
        (folder / ".ccproxy" / "config.json").write_text(
            json.dumps({"port": self.port, "providers": [provider], "routes": routes})
        )
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OF_THE_ORIGINALS)}
        self.environment = {
            **inherited,
            "HOME": str(folder),
            "ANTHROPIC_API_KEY": "sk-ant-vendor",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        }

    def with_client(self, program):
        """Put a client called claude first on the path."""
        places = self.folder / "bin"
        places.mkdir()
        (places / "claude").symlink_to(program)
        self.environment["PATH"] = f"{places}:{self.environment['PATH']}"

    def fake_client(self):
        script = self.folder / "fake-claude"
        script.write_text(FAKE)
        script.chmod(0o755)
        self.with_client(script)

    def start(self, *arguments, **more):
        return subprocess.Popen(
            [PULSEGATE, *arguments],
            cwd=self.folder,
            env=self.environment | more,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments, **more):
        with self.start(*arguments, **more) as process:
            out, err = process.communicate(timeout=110)
        return process.returncode, out, err

    def answers(self):
        try:
            return request(f"{self.url}/status")[0] == 200
        except OSError:
            return False

    def idle(self):
        """Whether nothing that was started is left: it holds the lock to its end."""
        with (self.folder / ".ccproxy" / f"pulsegate-{self.port}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return not self.answers()


@pytest.fixture
def home(tmp_path, vendor):
    home = Home(tmp_path, vendor)
    yield home
    if (tmp_path / ".ccproxy" / f"pulsegate-{home.port}.lock").exists():
        wait_for(home.idle, 40, "what was started to end with the last command")


def test_claude_code_answers_through_a_proxy_that_is_there_only_for_it(home):
    home.with_client(or_skip(node_package, CLAUDE_CODE) / ".bin" / "claude")
    code, out, err = home.run("code", "-p", "hi", "--model", "mine,m")
    assert (code, out.strip()) == (0, TOLD), err
    wait_for(home.idle, 40, "the proxy to end")
    assert (home.folder / ".ccproxy" / "usage.sqlite").exists()


def test_a_second_command_uses_the_same_proxy_and_keeps_it_when_the_first_ends(home):
    home.fake_client()
    first = home.start("code", "wait")
    assert first.stdout.readline().strip() == f"{home.url} test 600000 none wait"
    pid = request(f"{home.url}/status")[1]["pid"]
    second = home.start("code", "wait", "here")
    assert second.stdout.readline().strip() == f"{home.url} test 600000 none wait here"
    first.communicate("\n", timeout=20)
    assert first.returncode == 3
    assert request(f"{home.url}/status")[1]["pid"] == pid
    assert not home.idle()
    second.communicate("\n", timeout=20)
    assert second.returncode == 3


def test_a_proxy_that_runs_already_is_used_and_left_alone(system, home):
    home.fake_client()
    running = {"CCPROXY_PORT": str(system.ports["llmproxy rest"])}
    code, out, _ = home.run("code", "there", **running)
    assert (code, out.strip()) == (3, f"{system.url('llmproxy')} test 600000 none there")
    assert system.get("llmproxy", "/status")[0] == 200
    assert not home.answers()


def test_a_port_of_another_program_and_a_client_that_is_not_there_are_said(home, vendor):
    code, _, err = home.run("code", PATH=str(home.folder))
    assert (code, "npm install -g @anthropic-ai/claude-code" in err) == (127, True)
    home.fake_client()
    port = vendor.rpartition(":")[2].removesuffix("/v1")
    code, out, err = home.run("code", CCPROXY_PORT=port)
    assert (code, out) == (4, "")
    assert f"http://127.0.0.1:{port} is taken by another program" in err


def test_a_configuration_that_is_wrong_is_told_by_the_command(home):
    home.fake_client()
    (home.folder / ".ccproxy" / "config.json").write_text(json.dumps({"port": home.port, "providers": [{}]}))
    code, out, err = home.run("code")
    assert (code, out) == (1, "")
    assert "provider name is required" in err


def test_a_home_that_cannot_be_written_is_told_in_a_line(home):
    home.fake_client()
    shutil.rmtree(home.folder / ".ccproxy")
    (home.folder / ".ccproxy").touch()
    code, out, err = home.run("code", CCPROXY_PORT=str(home.port))
    (home.folder / ".ccproxy").unlink()
    assert (code, out) == (1, "")
    assert err.strip().splitlines()[-1] == f"{home.folder}/.ccproxy: File exists"


def test_env_points_any_client_at_the_proxy(home):
    code, out, _ = home.run("env", CCPROXY_API_KEY="it's $secret")
    assert code == 0
    script = f'{out}\nprintf %s "$ANTHROPIC_BASE_URL $ANTHROPIC_API_KEY"'
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == f"{home.url} it's $secret"
