"""The command `pulsegate` before the real processes, on a terminal and in a pipe."""

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.system import BACKENDS, wait_for

PULSEGATE = Path(sys.executable).with_name("pulsegate")
SEEN_SECONDS = 3.0


@pytest.fixture
def mended(system):
    yield system
    system.mend()


def pulsegate(system, *arguments):
    return subprocess.run(
        [PULSEGATE, *arguments], env=system.environment, capture_output=True, text=True, timeout=60, check=False
    )


@contextmanager
def watching(system, folder):
    """Run `pulsegate watch` in a pipe; yield what it has said so far, when asked."""
    said = folder / "watch.out"
    with said.open("wb") as out, subprocess.Popen([PULSEGATE, "watch"], env=system.environment, stdout=out) as process:
        try:
            yield said.read_text
        finally:
            process.terminate()


def test_status_is_a_table_and_zero_while_everything_serves(system):
    done = pulsegate(system, "status")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    backends = [line.split()[:2] for line in done.stdout.splitlines() if not line.startswith((" ", "BACKEND"))]
    assert backends == [[name, "serving"] for name in BACKENDS]


def test_status_on_a_terminal_is_in_colour(system):
    master, terminal = pty.openpty()
    environment = {**system.environment, "TERM": "xterm-256color", "COLUMNS": "160"}
    subprocess.run([PULSEGATE, "status"], env=environment, stdout=terminal, timeout=60, check=True)
    os.close(terminal)
    said = os.read(master, 65536).decode()
    os.close(master)
    assert "\x1b[32m✓ serving" in said


def test_watch_draws_on_a_terminal_until_ctrl_c(system):
    master, terminal = pty.openpty()
    environment = {**system.environment, "TERM": "xterm-256color", "COLUMNS": "160", "LINES": "40"}
    with subprocess.Popen([PULSEGATE, "watch"], env=environment, stdout=terminal) as process:
        os.close(terminal)
        said = ""
        while "llmproxy serving" not in said:  # ends with the process, whose output it is
            said += os.read(master, 65536).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        os.set_blocking(master, False)
        assert process.wait(timeout=30) == 0
    os.close(master)
    assert "✓ serving" in said


def test_status_as_json_is_the_document_of_the_operator_port(system):
    done = pulsegate(system, "status", "--json")
    told, (status, listed) = json.loads(done.stdout), system.get("operator", "/api/services")
    assert status == 200
    assert [one["name"] for one in told["backends"]] == [one["name"] for one in listed["backends"]]
    assert told.keys() == listed.keys()


def test_status_is_one_when_a_backend_is_lost_and_watch_tells_of_it(mended, tmp_path):
    with watching(mended, tmp_path) as said:
        wait_for(lambda: "  converter serving\n" in said(), 60, "watch to begin")
        mended.kill("converter")
        wait_for(lambda: "  converter unreachable: unavailable: " in said(), SEEN_SECONDS, "watch to tell")
        done = pulsegate(mended, "status")
        mended.start_and_wait("converter")
        wait_for(lambda: said().count("  converter serving\n") == 2, SEEN_SECONDS, "watch to tell of the return")
    assert done.returncode == 1
    line = next(line for line in done.stdout.splitlines() if line.startswith("converter "))
    assert line.split()[1] == "unreachable"


def test_status_is_three_when_no_gateway_answers(system):
    done = pulsegate(system, "status", "--gateway", "http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("Error: no answer from the gateway at http://127.0.0.1:1: ")


def test_status_does_not_take_another_server_for_a_gateway(system):
    done = pulsegate(system, "status", "--gateway", system.url("converter"))
    assert done.returncode == 3
    assert "answers 404" in done.stderr


def test_doctor_finds_nothing_wrong_and_asks_the_gateway_too(system):
    done = pulsegate(system, "doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the gateway says: converter serving" in done.stdout
    assert f"operator_port = {system.ports['operator rest']}  environment" in done.stdout
