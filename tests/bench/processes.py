"""Servers under load: started, waited for, and what CPU they have used."""

import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.system import ROOT, wait_for

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def process(
    command: list[str],
    port: int,
    answers: Callable[[], bool] | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float = 30,
) -> Iterator[int]:
    """Run a server until the block ends, which begins when it answers, by default at the route of a status."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(answers or (lambda: _answers(port)), seconds, command[0])
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
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


def resident_megabytes(pids: tuple[int, ...]) -> float:
    """Tell how much memory some processes hold together."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) for pid in pids)
    return pages * PAGE_BYTES / 2**20


def _ticks(stat: str) -> int:
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
