"""The gateway and the LLM proxy, run in the background for as long as a `pulsegate code` needs them."""

import asyncio
import fcntl
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from commands import proxy
from commands.supervise import supervise
from gateway.settings import GatewaySettings

FOLDER = Path("~/.ccproxy")
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Files:
    """What the commands of one port share: a lock that each holds while it runs, and what the processes say."""

    lock: Path
    log: Path


def files(told: GatewaySettings) -> Files:
    """Name the files; one set for each port of the LLM API."""
    _, port = told.listener("llmproxy")
    folder = FOLDER.expanduser()
    return Files(folder / f"pulsegate-{port}.lock", folder / f"pulsegate-{port}.log")


def main() -> int:
    """Run both until nobody holds the lock any more; only the LLM API has its own port, whatever else is running."""
    told = proxy.settings()
    os.environ |= variables(told)
    commands = {"gateway": [sys.executable, "-m", "gateway"]}
    if _is_default(told, "llmproxy_target"):  # else it runs elsewhere
        commands["llmproxy"] = [sys.executable, "-m", "services.llmproxy"]
    with files(told).lock.open("a") as lock:  # kept until both are gone, so that the next command starts anew
        return asyncio.run(supervise(commands, lambda: _until_nobody_needs_it(lock)))


def variables(told: GatewaySettings) -> dict[str, str]:
    """Keep out of the way of a whole Pulsegate that runs here: the other ports are any, and on loopback."""
    chosen = {}
    for name in ("converter", "media", "operator"):
        chosen[f"PULSEGATE_GATEWAY_{name.upper()}_HOST"] = "127.0.0.1"
        chosen[f"PULSEGATE_GATEWAY_{name.upper()}_PORT"] = "0"
    if _is_default(told, "llmproxy_target"):
        chosen["PULSEGATE_LLMPROXY_ADDRESS"] = chosen["PULSEGATE_GATEWAY_LLMPROXY_TARGET"] = _free_address()
        chosen["PULSEGATE_LLMPROXY_METRICS_ADDRESS"] = "off"
    return chosen


async def _until_nobody_needs_it(lock: IO[str]) -> None:
    """Ask this process to end once every command has let go of the lock."""
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(POLL_SECONDS)
        else:
            break
    signal.raise_signal(signal.SIGTERM)


def _is_default(told: GatewaySettings, name: str) -> bool:
    return bool(getattr(told, name) == GatewaySettings.model_fields[name].default)


def _free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


if __name__ == "__main__":
    raise SystemExit(main())
