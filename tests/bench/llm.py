"""Measure the LLM proxy beside others that translate Messages to Chat Completions: part of ``make bench``.

Everybody is put before the same vendor, in turns within one run; only ratios and added times mean anything. Processor
time is that of the proxy's processes: of ours, gateway and backend together.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import aiohttp

from tests.bench.processes import cpu_seconds, process, resident_megabytes
from tests.e2e.system import free_ports, running_system, wait_for
from tests.installed import CannotBeHad, node_package, python_packages

SECONDS = 2
ROUNDS = 3
WARM_SECONDS = 4  # a just-in-time compiler needs some thousand requests before it is itself
STREAMS = 200
KEY = "sk-bench-0123456789"
ROUTER = (
    "@musistudio/claude-code-router@2.0.0"  # the last one that runs on Node 20 and keeps its configuration in a file
)
LITELLM = ("litellm-1.106.2", "litellm[proxy]==1.106.2")
INSTALL_SECONDS = 600
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass
class Figures:
    """What the turns of one rival gave."""

    p50_ms: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    streams_per_second: list[float] = field(default_factory=list)
    stream_cpu_ms: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)
    idle_mb: float = 0.0
    loaded_mb: float = 0.0


@dataclass(frozen=True)
class Rival:
    """A server under load: where it answers, whose CPU its answers cost, and by which name it knows the model."""

    name: str
    url: str
    pids: tuple[int, ...]
    model: str


def main() -> None:
    """Print one table."""
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        vendor = _vendor(stack)
        rivals = [vendor, _ours(stack, folder, vendor.url)]
        for name, start in (("claude-code-router 2.0.0", _router), ("LiteLLM 1.106.2", _litellm)):
            try:
                rivals.append(stack.enter_context(start(folder, vendor.url)))
            except CannotBeHad as error:
                print(f"{name} is left out: {error}")
        figures = {rival.name: Figures() for rival in rivals}
        for rival in rivals:
            figures[rival.name].idle_mb = resident_megabytes(rival.pids)
            _load(folder, rival, 32, WARM_SECONDS)
        for _ in range(ROUNDS):
            for rival in rivals:
                _measure(folder, rival, figures[rival.name])
        for rival in rivals:
            figures[rival.name].loaded_mb = resident_megabytes(rival.pids)
        _print(figures)


def _vendor(stack: ExitStack) -> Rival:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    command = [sys.executable, "-m", "tests.bench.completions", str(port)]
    return Rival("direct", url, (stack.enter_context(process(command, port, lambda: _answers(url, "m"))),), "m")


def _ours(stack: ExitStack, folder: Path, vendor: str) -> Rival:
    provider = {"name": "mock", "api_base_url": vendor, "api_key": KEY, "models": ["m"]}
    (folder / "config.json").write_text(json.dumps({"providers": [provider]}), "utf-8")
    system = stack.enter_context(running_system(folder))
    system.start("llmproxy", "gateway")
    wait_for(lambda: (system.states() or {}).get("llmproxy") == "serving", 60, "the LLM proxy to serve")
    pids = (system.processes["gateway"].pid, system.processes["llmproxy"].pid)
    return Rival("pulsegate", system.url("llmproxy", "/v1/messages"), pids, "mock,m")


@contextmanager
def _router(folder: Path, vendor: str) -> Iterator[Rival]:
    program = node_package(ROUTER) / ".bin" / "ccr"
    (port,) = free_ports(1)
    home = folder / "router"
    (home / ".claude-code-router").mkdir(parents=True)
    provider = {"name": "mock", "api_base_url": vendor, "api_key": KEY, "models": ["m"]}
    told = {"LOG": False, "HOST": "127.0.0.1", "PORT": port, "Providers": [provider], "Router": {"default": "mock,m"}}
    (home / ".claude-code-router" / "config.json").write_text(json.dumps(told), "utf-8")
    url = f"http://127.0.0.1:{port}/v1/messages"
    environment = {**os.environ, "HOME": str(home)}
    with process(["node", str(program), "start"], port, lambda: _answers(url, "mock,m"), environment) as pid:
        yield Rival("claude-code-router 2.0.0", url, (pid,), "mock,m")


@contextmanager
def _litellm(folder: Path, vendor: str) -> Iterator[Rival]:
    packages = python_packages(*LITELLM, seconds=INSTALL_SECONDS)
    (port,) = free_ports(1)
    told = {"model": "hosted_vllm/m", "api_base": vendor.removesuffix("/chat/completions"), "api_key": KEY}
    settings = {"model_list": [{"model_name": "m", "litellm_params": told}], "general_settings": {"master_key": KEY}}
    configuration = folder / "litellm.yaml"
    configuration.write_text(json.dumps(settings), "utf-8")
    command = [sys.executable, "-P", "-c", "from litellm.proxy.proxy_cli import run_server; run_server()"]
    command += ["--config", str(configuration), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    environment = {**os.environ, "PYTHONPATH": str(packages), "LITELLM_MODE": "PRODUCTION", "HOME": str(folder)}
    url = f"http://127.0.0.1:{port}/v1/messages"
    with process(command, port, lambda: _answers(url, "m"), environment, 180) as pid:
        yield Rival("LiteLLM 1.106.2", url, (pid,), "m")


def _body(model: str, *, stream: bool = False) -> bytes:
    messages = [{"role": "user", "content": "Tell me of fifty words."}]
    return json.dumps({"model": model, "max_tokens": 100, "messages": messages, "stream": stream}).encode()


HEADERS = {
    "Content-Type": "application/json",
    "Authorization": f"Bearer {KEY}",
    "anthropic-version": "2023-06-01",
}


def _answers(url: str, model: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, _body(model), HEADERS), timeout=10) as answer:
            return b"word49" in answer.read()
    except OSError:
        return False


def _measure(folder: Path, rival: Rival, figures: Figures) -> None:
    told, _ = _load(folder, rival, 1, SECONDS)
    number, unit = re.search(r"50%\s+([\d.]+)(us|ms|s)", told).groups()
    figures.p50_ms.append(float(number) * UNITS[unit])
    told, cpu = _load(folder, rival, 32, SECONDS)
    figures.per_second.append(float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1]))
    figures.cpu_ms.append(1e3 * cpu / int(re.search(r"(\d+) requests in", told)[1]))
    before = cpu_seconds(rival.pids)
    seconds, first = asyncio.run(_streams(rival))
    figures.streams_per_second.append(STREAMS / seconds)
    figures.stream_cpu_ms.append(1e3 * (cpu_seconds(rival.pids) - before) / STREAMS)
    figures.first_ms.append(1e3 * first)


def _load(folder: Path, rival: Rival, connections: int, seconds: float) -> tuple[str, float]:
    script = folder / "messages.lua"
    lines = [f"wrk.headers['{name}']='{value}'" for name, value in HEADERS.items()]
    script.write_text("\n".join(["wrk.method='POST'", f"wrk.body='{_body(rival.model).decode()}'", *lines]), "ascii")
    before = cpu_seconds(rival.pids)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}", "--latency", "--timeout", "30s", "-s", str(script)]
    told = subprocess.run([*command, rival.url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in told:
        sys.exit(f"{rival.name} answered errors:\n{told}")
    return told, cpu_seconds(rival.pids) - before


async def _streams(rival: Rival) -> tuple[float, float]:
    """Start all streams at the same moment; tell when the last one was whole, and the middle one's first word."""
    body, ends, firsts = _body(rival.model, stream=True), [], []

    async def one(session: aiohttp.ClientSession) -> None:
        async with session.post(rival.url, data=body, headers=HEADERS) as answer:
            assert answer.status == 200, await answer.text()
            told = b""
            while chunk := await answer.content.readany():
                if b"word0" not in told and b"word0" in told + chunk:
                    firsts.append(time.perf_counter() - began)
                told += chunk
            assert b"word49" in told
            ends.append(time.perf_counter() - began)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        began = time.perf_counter()
        await asyncio.gather(*(one(session) for _ in range(STREAMS)))
    return max(ends), median(firsts)


def _print(figures: dict[str, Figures]) -> None:
    direct = figures["direct"]
    print(f"\nMessages to Chat Completions, 50 tokens; median of {ROUNDS} turns; {STREAMS} streams at once")
    print(
        f"  {'':26} {'added p50':>10} {'req/s':>8} {'CPU/req':>9} {'streams/s':>10} {'CPU/str.':>9} {'1st word':>9}",
        end="",
    )
    print(f" {'idle':>7} {'loaded':>7}")
    for name, one in figures.items():
        added = median(one.p50_ms) - median(direct.p50_ms)
        print(f"  {name:26} {added:7.2f} ms {median(one.per_second):8.0f} {median(one.cpu_ms):6.2f} ms", end="")
        print(f" {median(one.streams_per_second):10.0f} {median(one.stream_cpu_ms):6.2f} ms", end="")
        print(f" {median(one.first_ms):6.0f} ms {one.idle_mb:4.0f} MB {one.loaded_mb:4.0f} MB")
    ours = figures["pulsegate"]
    for name, one in figures.items():
        if one not in (direct, ours):
            print(f"\n  pulsegate against {name}:")
            print(f"    CPU per request {median(ours.cpu_ms) / median(one.cpu_ms):.2f}x", end="")
            added = [median(each.p50_ms) - median(direct.p50_ms) for each in (ours, one)]
            print(f", added p50 {added[0] / added[1]:.2f}x", end="")
            print(f", streams/s {median(ours.streams_per_second) / median(one.streams_per_second):.2f}x", end="")
            print(f", memory idle {ours.idle_mb / one.idle_mb:.2f}x, loaded {ours.loaded_mb / one.loaded_mb:.2f}x")


if __name__ == "__main__":
    main()
