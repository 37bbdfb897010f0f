"""Servers under load: started, waited for, and what CPU they have used."""

import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.system import ROOT, wait_for

TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def process(command: list[str], port: int) -> Iterator[int]:
    """Run a server until the end, from when it answers at a port on; tells its process id."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: _answers(port), 30, command[0])
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=1):
            return True
    except OSError:
        return False


def cpu_seconds(pids: tuple[int, ...]) -> float:
    """Tell user and system time of some processes together."""
    return sum(_ticks(Path(f"/proc/{pid}/stat").read_text(encoding="ascii")) for pid in pids) / TICKS


def _ticks(stat: str) -> int:
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
