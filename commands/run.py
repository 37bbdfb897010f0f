"""Run Pulsegate on this machine and tell what to try once everything serves."""

import argparse
import asyncio
import json
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from commands import turnserver
from commands.supervise import say, supervise
from gateway.settings import GatewaySettings
from runtime.settings import load
from services.media.settings import MediaSettings

MODULES = {
    "converter": "services.converter",
    "media": "services.media",
    "llmproxy": "services.llmproxy",
    "gateway": "gateway",
}
BODIES = {
    "convert": {"categoria": "longitud", "valor": 5, "desde": "km", "hasta": "mi"},
    "messages": {"model": "local", "max_tokens": 40, "messages": [{"role": "user", "content": "Hello!"}]},
}
TRIES = {
    "converter": ("/api/convert", BODIES["convert"]),
    "media": ("/api/ready", None),
    "llmproxy": ("/v1/messages", BODIES["messages"]),
    "operator": ("/api/services", None),
}
PATIENCE_SECONDS = 60.0


def main(arguments: Sequence[str]) -> int:
    """Do what `make run` promises."""
    argparse.ArgumentParser(
        prog="pulsegate run",
        description="Run the gateway and every backend on this machine until Ctrl-C. "
        "Each reads its settings file and variables as if started alone.",
    ).parse_args(arguments)
    settings = load(GatewaySettings, [])
    commands = {name: [sys.executable, "-m", module] for name, module in MODULES.items()}
    with TemporaryDirectory(prefix="pulsegate-") as folder:
        commands |= beside(load(MediaSettings, []), Path(folder))
        return asyncio.run(supervise(commands, lambda: announce(settings)))


def beside(settings: MediaSettings, folder: Path) -> dict[str, list[str]]:
    """Tell what runs beside the processes of ours: coturn, or nothing; says which and why."""
    laid = turnserver.settings_of_media(settings)
    if laid is None:
        return {}
    plan = turnserver.plan(laid)
    say(f"coturn: {plan.reason}")
    if not plan.starts:
        return {}
    return {"coturn": turnserver.command(laid, folder, turnserver.own_addresses(laid))}


async def announce(settings: GatewaySettings) -> None:
    """Wait until every backend serves, or patience ends, and print what to try."""
    operator = address(settings, "operator")
    states: dict[str, str] = {}
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while set(states.values()) != {"serving"}:
                await asyncio.sleep(0.2)
                states = await asyncio.to_thread(ask, f"{operator}/readyz")
    except TimeoutError:
        say(f"not everything serves after {PATIENCE_SECONDS:g} s; {operator}/api/services tells why")
    say(table(settings, states))


def table(settings: GatewaySettings, states: Mapping[str, str]) -> str:
    """Write one command to copy for every façade."""
    lines = [f"  {name:9}  {states.get(name, ''):11}  {command(settings, name)}" for name in TRIES]
    console = f"  {address(settings, 'operator')}/ shows all of it live.  Ctrl-C stops everything."
    return "\n".join(["", *lines, "", console, ""])


def command(settings: GatewaySettings, name: str) -> str:
    """Spell a request to one façade for a shell."""
    path, body = TRIES[name]
    sent = f" -H 'Content-Type: application/json' -d '{json.dumps(body, separators=(',', ':'))}'" if body else ""
    return f"curl -s {address(settings, name)}{path}{sent}"


def address(settings: GatewaySettings, name: str) -> str:
    """Tell where one façade listens."""
    host, port = settings.listener(name)
    return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104  an address to call, not to bind


def ask(url: str) -> dict[str, str]:
    """Return the gateway's verdict on every backend, or nothing while it has none."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310  our own gateway
            return dict(json.load(answer)["backends"])
    except OSError:
        return {}
