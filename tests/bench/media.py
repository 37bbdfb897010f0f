"""Measure what a publisher of 720p, 30 pictures and 2 Mbit a second costs, beside aiortc's own way of receiving."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from tests.bench.processes import cpu_seconds, process
from tests.e2e.system import ROOT, free_ports, running_system, wait_for

SECONDS = 8
ROUNDS = 3


def main() -> None:
    """Print one table."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        system = stack.enter_context(running_system(folder))
        system.start("media", "gateway", PULSEGATE_MEDIA_MODE="relay")
        wait_for(lambda: (system.states() or {}).get("media") == "serving", 60, "media to serve")
        (port,) = free_ports(1)
        stock = stack.enter_context(process([sys.executable, "-m", "tests.bench.receiver", str(port)], port))
        servers = {
            "media, packets to pictures": (system.url("media", "/whip"), system.processes["media"].pid),
            "aiortc, received and decoded": (f"http://127.0.0.1:{port}/whip", stock),
        }
        shares: dict[str, list[float]] = {name: [] for name in servers}
        for _ in range(ROUNDS):
            for name, (url, pid) in servers.items():
                shares[name].append(_share(url, pid, folder))
        first = median(shares["media, packets to pictures"])
        print(f"\na publisher of 720p30 at 2 Mbit/s, median of {ROUNDS} turns of {SECONDS} s")
        print(f"  {'':28} {'% of a core':>12}   media costs")
        for name, several in shares.items():
            print(f"  {name:28} {median(several):12.2f}   {first / median(several):6.2f}x")


def _share(url: str, pid: int, folder: Path) -> float:
    """Tell how much of a core one publisher costs a server; what the server costs without one is taken off."""
    idle = _cpu_share(pid)
    with _publishing(url, folder):
        return _cpu_share(pid) - idle


def _cpu_share(pid: int) -> float:
    before, began = cpu_seconds((pid,)), time.monotonic()
    time.sleep(SECONDS)
    return 100 * (cpu_seconds((pid,)) - before) / (time.monotonic() - began)


@contextmanager
def _publishing(url: str, folder: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.bench.publisher", url, str(folder)]
    publisher = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        if publisher.stdout.readline() != b"publishing\n":
            sys.exit(f"{url} was not published to")
        yield
    finally:
        publisher.kill()
        publisher.wait()


if __name__ == "__main__":
    main()
