"""The command `pulsegate` finds what it is told to run."""

import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-c", "import sys; from runtime.command import main; sys.exit(main())"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)


def test_a_process_is_run_by_its_name():
    done = run("converter", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: pulsegate converter")


@pytest.mark.parametrize("name", ["nobody", "os.path", "../gateway"])
def test_what_is_no_process_is_refused(name):
    done = run(name)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: there is no process {name!r}\nusage: pulsegate")


def test_without_a_word_the_usage_is_told():
    assert run().returncode == 2
    assert run("--help").returncode == 0
    assert "pulsegate healthcheck" in run("--help").stderr


def test_a_health_check_imports_no_more_than_it_needs():
    code = "import sys, runtime.command, runtime.healthcheck; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pydantic", "orjson", "flask", "uvloop"} & set(loaded)
