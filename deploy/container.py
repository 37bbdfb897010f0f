"""What the image of one process holds besides Python packages, so that the Dockerfile names no process.

`debian` and `groups` print what `[tool.pulsegate.images]` in pyproject.toml says, with the standard library alone.
`write` derives the settings file and the health check from the process's own settings.
"""

import importlib.util
import json
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.settings import Settings

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104  a container has its own network


def wanted(process: str, kind: str) -> list[str]:
    """Return the Debian packages or the dependency groups that an image needs."""
    images = tomllib.loads(PROJECT.read_text())["tool"]["pulsegate"]["images"]
    return list(images.get(process, {}).get(kind, []))


def settings_class(process: str) -> "type[Settings]":
    """Find the settings of a process."""
    from runtime.settings import Settings

    package = process if process == "gateway" else f"services.{process}"
    for module in (f"{package}.settings", f"{package}.__main__"):
        names = vars(importlib.import_module(module)) if importlib.util.find_spec(module) else {}
        for found in names.values():
            if isinstance(found, type) and issubclass(found, Settings) and getattr(found, "process", "") == process:
                return found
    raise SystemExit(f"Error: there is no process {process!r}")


def listeners(settings: "type[Settings]") -> dict[str, str]:
    """Return the addresses a process listens on, with every interface in place of loopback."""
    own = {
        name: str(field.default)
        for name, field in settings.model_fields.items()
        if name.rpartition("_")[2] in ("address", "host") and str(field.default).startswith(LOOPBACK)
    }
    return {name: default.replace(LOOPBACK, EVERYWHERE) for name, default in own.items()}


def health_check(settings: "type[Settings]") -> str:
    """Return the command that tells whether the process in the container is ready."""
    fields = settings.model_fields
    if "address" in fields:
        return f"pulsegate healthcheck -addr=localhost:{fields['address'].default.rpartition(':')[2]}"
    ask, place = "curl --fail --silent --output /dev/null", f"localhost:{fields['operator_port'].default}/readyz"
    return f"{ask} http://{place} || {ask} --insecure https://{place}"  # its own certificate, whatever name is in it


def write(process: str, folder: Path) -> None:
    """Write the settings file and the health check of an image."""
    settings = settings_class(process)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps({process: listeners(settings)}, indent=2) + "\n")
    check = folder / "health"
    check.write_text(f"#!/bin/sh\n{health_check(settings)}\n")
    check.chmod(0o755)


if __name__ == "__main__":
    action, name = sys.argv[1:3]
    if action == "write":
        write(name, Path(sys.argv[3]))
    else:
        print(*wanted(name, action), sep="\n")
