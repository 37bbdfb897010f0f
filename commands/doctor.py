"""Tell what every process would be told on this machine, what it runs on, and what is wrong with either."""

import argparse
import json
import os
import platform
import re
import shutil
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version

from rich.console import Console
from rich.markup import escape

from commands import operator
from runtime.settings import Settings, Told, explain

SETTINGS = {
    "gateway": ("gateway.settings", "GatewaySettings"),
    "converter": ("services.converter.settings", "ConverterSettings"),
    "media": ("services.media.settings", "MediaSettings"),
    "llmproxy": ("services.llmproxy.settings", "LlmProxySettings"),
}
PROGRAMS = {
    "turnserver": "serves TURN to viewers behind strict firewalls",
    "ffmpeg": "is only for comparing recordings",
}
COTURN = "coturn"
CONNECT_SECONDS = 0.5
PROBLEM_EXIT = 1


@dataclass(frozen=True)
class Listener:
    """A TCP address a process is set to listen on."""

    name: str
    address: str
    listens: bool


@dataclass(frozen=True)
class Process:
    """What is found of one process."""

    name: str
    packages: dict[str, str]
    settings: Sequence[Told]
    listeners: Sequence[Listener]
    problems: Sequence[str]
    warnings: Sequence[str]


def main(arguments: Sequence[str]) -> int:
    """Print the report; return 0 unless something would keep a process from starting."""
    parser = argparse.ArgumentParser(
        prog="pulsegate doctor",
        description="Tell what every process would be told here, what it runs on, and what is wrong.",
        epilog="Exit code: 0 nothing is wrong, 1 something would keep a process from starting, 2 wrong usage.",
    )
    operator.add_address(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--all", action="store_true", help="list settings that have their default too")
    told = parser.parse_args(arguments)
    processes = [examine(name) for name in SETTINGS]
    states = gateway_says(told.gateway)
    if told.json:
        report = {"environment": environment(), "processes": [asdict(one) for one in processes], "gateway": states}
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        console = Console(highlight=False, soft_wrap=True)
        for line in _lines(processes, states, told.gateway, everything=told.all):
            console.print(line)
    return PROBLEM_EXIT if any(one.problems for one in processes) else 0


def environment() -> dict[str, str]:
    """Tell what all processes run on."""
    found = {
        "pulsegate": version("pulsegate"),
        "python": f"{platform.python_version()} at {sys.executable}",
        "system": platform.platform(),
        "cores": str(len(os.sched_getaffinity(0))),
        "settings file": os.environ.get("PULSEGATE_CONFIG", "none"),
    }
    for program, use in PROGRAMS.items():
        found[program] = shutil.which(program) or f"not installed; {use}"
    found[COTURN] = turn_plan()
    return found


def turn_plan() -> str:
    """Tell whether `pulsegate run` starts coturn here, and why not."""
    try:
        from commands import turnserver
        from services.media.settings import MediaSettings
    except ImportError as error:
        return f"not started: {error}"
    told = explain(MediaSettings).model
    settings = turnserver.settings_of_media(told) if isinstance(told, MediaSettings) else None
    return turnserver.plan(settings).reason if settings else "not started: the settings of media are wrong"


def examine(name: str) -> Process:
    """Look at one process without starting it."""
    packages = {package: _installed(package) for package in _required(name)}
    missing = [f"the package {package} is not installed" for package, found in packages.items() if not found]
    try:
        module, kind = SETTINGS[name]
        settings_class: type[Settings] = getattr(import_module(module), kind)
    except ImportError as error:
        return Process(name, packages, [], [], [*missing, f"the process cannot start: {error}"], [])
    told = explain(settings_class)
    unknown = [f"unknown setting {one} is ignored" for one in told.unknown]
    listening = gateway_listeners if name == "gateway" else backend_listeners
    found = listening({one.name: one.value for one in told.settings})
    return Process(name, packages, told.settings, found, [*missing, *told.problems], unknown)


def backend_listeners(values: Mapping[str, str]) -> list[Listener]:
    """Find the addresses a backend is set to listen on, and whether something listens there already."""
    return _looked_at({name: value for name, value in values.items() if name.endswith("address")})


def gateway_listeners(values: Mapping[str, str]) -> list[Listener]:
    """Find the addresses the gateway is set to listen on, and whether something listens there already."""
    names = [name.removesuffix("_port") for name in values if name.endswith("_port")]
    return _looked_at({name: f"{values[f'{name}_host'] or values['host']}:{values[f'{name}_port']}" for name in names})


def _looked_at(found: Mapping[str, str]) -> list[Listener]:
    return [Listener(name, address, _listens(address)) for name, address in found.items() if address]


def gateway_says(url: str) -> dict[str, str]:
    """Ask the gateway for the state of every backend; nothing while it does not run."""
    try:
        document = operator.fetch(url)
    except operator.Unanswered:
        return {}
    return {backend["name"]: backend["state"] for backend in document["backends"]}


def _required(extra: str) -> list[str]:
    """Name the packages one process needs beyond the common ones."""
    try:
        declared = requires("pulsegate") or []
    except PackageNotFoundError:
        return []
    wanted = re.compile(rf"^([\w.-]+).*;.*extra == ['\"]{extra}['\"]")
    return [found[1] for one in declared if (found := wanted.match(one))]


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "from the system" if package == "zeroc-ice" and _importable("Ice") else ""


def _importable(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        return False
    return True


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "::1", "::": "::1"}.get(host, host.strip("[]"))  # noqa: S104  to call
    try:
        with socket.create_connection((host, int(port)), CONNECT_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def _lines(processes: Iterable[Process], states: dict[str, str], url: str, *, everything: bool) -> Iterable[str]:
    for name, value in environment().items():
        yield f"{name:14} {escape(value)}"
    for process in processes:
        yield ""
        yield f"[bold]{process.name}[/]"
        yield from (f"  [bold red]✕ {escape(one)}[/]" for one in process.problems)
        yield from (f"  [yellow]! {escape(one)}[/]" for one in process.warnings)
        yield f"  packages  {', '.join(f'{package} {found}' for package, found in process.packages.items() if found)}"
        for one in process.listeners:
            yield f"  {one.address:22} {'something listens' if one.listens else 'free'}  [dim]{one.name}[/]"
        for setting in process.settings:
            if everything or setting.source != "default":
                yield f"  {setting.name} = {escape(setting.value)}  [dim]{setting.source}[/]"
    yield ""
    if not states:
        yield f"no gateway answers at {url}"
    for name, state in states.items():
        yield f"the gateway says: {name} {state.replace('_', ' ')}"
