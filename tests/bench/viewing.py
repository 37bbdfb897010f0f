"""Measure how many viewers of 720p at 30 pictures and 2 Mbit a second one core sends to, beside aiortc's own ways."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median

import av

from tests.bench.processes import cpu_seconds, process
from tests.bench.recording import encoded
from tests.e2e.system import ROOT, free_ports, running_system, wait_for

SECONDS = 5
ROUNDS = 2


@dataclass(frozen=True)
class Rival:
    """A server, and the viewers it is given: as many as leave the machine some air."""

    name: str
    target: str
    pid: int
    viewers: int


def main() -> None:
    """Print one table."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        film = folder / "film.mp4"
        write_film(film)
        (port,) = free_ports(1)
        command = [sys.executable, "-m", "tests.bench.sender", str(port), str(film)]
        rivals = [
            _ours(stack, folder / "shared", film, "media", "auto", 60),
            _ours(stack, folder / "stock", film, "aiortc, packets as they are", "stock", 15),
            Rival(
                "aiortc, an encoder for each",
                f"http://127.0.0.1:{port}/whep",
                stack.enter_context(process(command, port)),
                2,
            ),
        ]
        per_core = {rival.name: [] for rival in rivals}
        for _ in range(ROUNDS):
            for rival in rivals:
                per_core[rival.name].append(_viewers_per_core(rival))
    first = median(per_core["media"])
    print(f"\nviewers of 720p30 at 2 Mbit/s for each core, median of {ROUNDS} turns of {SECONDS} s")
    print(f"  {'':28} {'per core':>9}   media has")
    for name, several in per_core.items():
        print(f"  {name:28} {median(several):9.1f}   {first / median(several):6.1f}x")


def write_film(path: Path) -> None:
    """Write the film of every bench as a file that is sent as it is."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        stream.options = {"profile": "baseline", "tune": "zerolatency"}
        for number, data in enumerate(encoded()):
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, 30), number, number
            packet.is_keyframe = number % 60 == 0
            container.mux(packet)


def _ours(stack: ExitStack, folder: Path, film: Path, name: str, fan_out: str, viewers: int) -> Rival:
    folder.mkdir()
    system = stack.enter_context(running_system(folder))
    variables = {
        "SOURCE": str(film),
        "FAN_OUT": fan_out,
        "SILENCE_SECONDS": "600",
        "MAX_VIEWERS": "1000",
        "MAX_LOAD": "0",
        "SETUP_SECONDS": "120",
    }
    system.start("media", **{f"PULSEGATE_MEDIA_{key}": value for key, value in variables.items()})
    wait_for(lambda: system.started("media"), 60, "media to listen")
    return Rival(name, f"127.0.0.1:{system.ports['media']}", system.processes["media"].pid, viewers)


def _viewers_per_core(rival: Rival) -> float:
    with _viewing(rival):
        before, began = cpu_seconds((rival.pid,)), time.monotonic()
        time.sleep(SECONDS)
        share = (cpu_seconds((rival.pid,)) - before) / (time.monotonic() - began)
    return rival.viewers / share


@contextmanager
def _viewing(rival: Rival) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.bench.viewers", rival.target, str(rival.viewers)]
    viewers = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        if viewers.stdout.readline() != b"viewing\n":
            sys.exit(f"{rival.name} served no viewers")
        yield
    finally:
        viewers.terminate()
        viewers.wait()


if __name__ == "__main__":
    main()
