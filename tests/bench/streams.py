"""Measure how long a probe waits for its answer while 500 streams run, and what an idle stream takes of memory."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from tests.bench.processes import cpu_seconds, process
from tests.e2e.system import System, free_ports, running_system, wait_for

STREAMS = 500
CONNECTIONS = 4
SECONDS = 5
ROUNDS = 3
ASK = {"model": "slow", "max_tokens": 1000, "stream": True, "messages": [{"role": "user", "content": "go on"}]}


def main() -> None:
    """Print the two figures."""
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (port,) = free_ports(1)
        stack.enter_context(process([sys.executable, "-m", "tests.bench.vendor", str(port)], port))
        provider = {"name": "slow", "api_base_url": f"http://127.0.0.1:{port}", "models": ["slow"], "api_key": "k"}
        provider["message_format"] = "anthropic"
        (folder / "config.json").write_text(json.dumps({"providers": [provider]}), "ascii")
        system = stack.enter_context(running_system(folder))
        system.start("converter", "llmproxy", "gateway")
        wanted = {"converter": "serving", "llmproxy": "serving"}.items()
        wait_for(lambda: wanted <= (system.states() or {}).items(), 60, "both to serve")
        _report_memory(system)
        _report_latency(system)


def _report_memory(system: System) -> None:
    gateway, url = system.processes["gateway"].pid, system.url("converter", "/api/v1/events")
    with _streaming(url, 10):
        pass  # what the first ones load is not theirs
    before = _resident(gateway)
    with _streaming(url, STREAMS):
        each = (_resident(gateway) - before) / STREAMS
    print(f"\nmemory of the gateway per idle stream, {STREAMS} at once: {each:.1f} kB")


def _report_latency(system: System) -> None:
    gateway, url = system.processes["gateway"].pid, system.url("llmproxy", "/health")
    idle, busy, reads, cpu = [], [], 0, 0.0
    for _ in range(ROUNDS):  # in turns, so that a busy moment of the machine hits both alike
        idle.append(_latency(url))
        with _streaming(system.url("llmproxy", "/v1/messages"), STREAMS, ASK) as told:
            before, used = told[0], cpu_seconds((gateway,))
            busy.append(_latency(url))
            reads, cpu = reads + told[0] - before, cpu + cpu_seconds((gateway,)) - used
    seconds = ROUNDS * SECONDS
    print(f"\nGET /health at {CONNECTIONS * 20} requests/s, median of {ROUNDS} turns of {SECONDS} s")
    print(f"  {'':20} {'p50 ms':>8} {'p99 ms':>8}")
    for name, figures in (("idle", idle), (f"{STREAMS} streams run", busy)):
        print(f"  {name:20} {median(p50 for p50, _ in figures):8.2f} {median(p99 for _, p99 in figures):8.2f}")
    ratio = median(p99 for _, p99 in busy) / median(p99 for _, p99 in idle)
    print(
        f"  p99 {ratio:.1f}x; {reads / seconds:.0f} reads/s of the streams used {100 * cpu / seconds:.0f} % of a core"
    )


@contextmanager
def _streaming(url: str, count: int, document: object = None) -> Iterator[list[int]]:
    """Keep the streams open on a thread of their own; yields what counts their reads, once all have begun."""
    reads, opened, enough = [0], threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_read_all(url, count, document, reads, opened, enough)))
    thread.start()
    try:
        if not opened.wait(60):
            sys.exit(f"{count} streams of {url} did not begin")
        yield reads
    finally:
        enough.set()
        thread.join()


async def _read_all(
    url: str, count: int, document: object, reads: list[int], opened: threading.Event, enough: threading.Event
) -> None:
    parts = urlsplit(url)
    body = json.dumps(document).encode() if document else b""
    head = f"{'POST' if document else 'GET'} {parts.path} HTTP/1.1\r\nHost: any\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    started = 0

    async def read() -> None:
        nonlocal started
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(head.encode() + body)
            if b" 200 " not in await reader.readuntil(b"\r\n\r\n"):
                return
            await reader.read(65536)
            started += 1
            while await reader.read(65536):
                reads[0] += 1
        finally:
            writer.close()

    tasks = [asyncio.create_task(read()) for _ in range(count)]
    while not enough.is_set():
        if started == count:
            opened.set()
        await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _latency(url: str) -> tuple[float, float]:
    """Ask as some monitors do together; return the 50th and 99th percentile in milliseconds."""
    script = "function delay() return 50 end"  # between two questions of a connection, in milliseconds
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        told = subprocess.run(
            ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}", "--latency", "-s", file.name, url],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return _percentile(told, 50), _percentile(told, 99)


def _percentile(told: str, which: int) -> float:
    found = re.search(rf"^\s*{which}%\s+([\d.]+)(us|ms|s)$", told, re.MULTILINE)
    return float(found[1]) * {"us": 0.001, "ms": 1, "s": 1000}[found[2]]


def _resident(pid: int) -> int:
    """Tell the private memory of a process in kB."""
    told = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return sum(int(size) for size in re.findall(r"^Private_\w+:\s+(\d+) kB$", told, re.MULTILINE))


if __name__ == "__main__":
    main()
