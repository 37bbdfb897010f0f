"""Measure the gateway beside its peers, in turns within one run: ``make bench``.

Only the ratios mean anything: the machine is whatever it is. CPU is that of the serving processes, user and system.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench.peers import NGINX, NODE
from tests.bench.processes import cpu_seconds, process
from tests.e2e.system import free_ports, running_system, wait_for

CONNECTIONS = 32
SECONDS = 2
ROUNDS = 5
CONVERSION = json.dumps({"categoria": "longitud", "valor": 5, "desde": "km", "hasta": "mi"})


@dataclass(frozen=True)
class Rival:
    """A server under load: where it answers and whose CPU its answers cost."""

    name: str
    url: str
    pids: tuple[int, ...]


@dataclass(frozen=True)
class Figure:
    """What one turn gave."""

    per_second: float
    cpu_microseconds: float


def main() -> None:
    """Print one table per kind of load."""
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        system = stack.enter_context(running_system(folder))
        system.start("converter", "gateway")
        wait_for(lambda: (system.states() or {}).get("converter") == "serving", 60, "the converter to serve")
        gateway, backend = system.processes["gateway"].pid, system.processes["converter"].pid
        ours = Rival("gateway", system.url("converter", "/api/status"), (gateway,))
        original = stack.enter_context(_original(system.ports["converter"]))
        rivals = [ours, original, *_plain_servers(stack, folder)]
        _report("status, keep-alive", rivals)
        _report("status, a connection per request", rivals, "-H", "Connection: close")
        script = folder / "convert.lua"
        script.write_text(
            f"wrk.method='POST' wrk.body='{CONVERSION}' wrk.headers['Content-Type']='application/json'", "ascii"
        )
        _report(
            "conversion through REST and gRPC; CPU of the backend included",
            [
                Rival("gateway", system.url("converter", "/api/convert"), (gateway, backend)),
                Rival(original.name, original.url.replace("status", "convert"), (*original.pids, backend)),
            ],
            "-s",
            str(script),
        )


@contextmanager
def _original(backend_port: int) -> Iterator[Rival]:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "tests.bench.peers", str(port), f"127.0.0.1:{backend_port}"]
    with process(command, port) as pid:
        yield Rival("Flask development server", f"http://127.0.0.1:{port}/api/status", (pid,))


def _plain_servers(stack: ExitStack, folder: Path) -> Iterator[Rival]:
    node, nginx = free_ports(2)
    if shutil.which("node"):
        pid = stack.enter_context(process(["node", "-e", NODE % node], node))
        yield Rival("node http", f"http://127.0.0.1:{node}/", (pid,))
    if shutil.which("nginx"):
        configuration = folder / "nginx.conf"
        configuration.write_text(NGINX % {"folder": folder, "port": nginx}, "ascii")
        pid = stack.enter_context(process(["nginx", "-c", str(configuration)], nginx))
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        yield Rival("nginx return 200", f"http://127.0.0.1:{nginx}/", tuple(int(worker) for worker in workers))


def _report(title: str, rivals: list[Rival], *arguments: str) -> None:
    figures: dict[str, list[Figure]] = {rival.name: [] for rival in rivals}
    for _ in range(ROUNDS):
        for rival in rivals:  # in turns, so that a busy moment hits all alike
            figures[rival.name].append(_load(rival, arguments))
    ours = _median(figures[rivals[0].name])
    print(f"\n{title}; {CONNECTIONS} connections, median of {ROUNDS} turns of {SECONDS} s")
    print(f"  {'':26} {'req/s':>9} {'CPU us':>8}   gateway is, by req/s and by CPU")
    for name, several in figures.items():
        figure = _median(several)
        by_rate, by_cpu = ours.per_second / figure.per_second, figure.cpu_microseconds / ours.cpu_microseconds
        print(f"  {name:26} {figure.per_second:9.0f} {figure.cpu_microseconds:8.1f}   {by_rate:6.2f}x {by_cpu:6.2f}x")


def _load(rival: Rival, arguments: tuple[str, ...]) -> Figure:
    before = cpu_seconds(rival.pids)
    told = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}", *arguments, rival.url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "Non-2xx" in told:
        sys.exit(f"{rival.name} answered errors:\n{told}")
    answers = int(re.search(r"(\d+) requests in", told)[1])
    per_second = float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1])
    return Figure(per_second, 1e6 * (cpu_seconds(rival.pids) - before) / answers)


def _median(figures: list[Figure]) -> Figure:
    def of(value: Callable[[Figure], float]) -> float:
        return median(value(figure) for figure in figures)

    return Figure(of(lambda figure: figure.per_second), of(lambda figure: figure.cpu_microseconds))


if __name__ == "__main__":
    main()
