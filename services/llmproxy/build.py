"""Where the running program comes from, as far as that can be known."""

import json
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path

UNKNOWN = "unknown"
ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Build:
    """Version, short commit and commit date; ``unknown`` and None where nobody wrote them down."""

    version: str
    commit: str = UNKNOWN
    date: datetime | None = None


def read(version: str = "", root: Path = ROOT) -> Build:
    """Ask the package for its version; for the commit the repository it runs from, or what the build wrote down."""
    commit, date = _parse(_from_repository(root) or _from_package(root))
    return Build(version or _package_version(root), commit, date)


def _package_version(root: Path) -> str:
    try:
        return metadata.version("pulsegate")
    except metadata.PackageNotFoundError:  # run from a working copy that nobody installed
        project = root / "pyproject.toml"
        return str(tomllib.loads(project.read_text())["project"]["version"]) if project.exists() else UNKNOWN


def _from_repository(root: Path) -> bytes:
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return b""
    try:
        told = subprocess.run(  # noqa: S603  fixed words, our own folder
            [git, "-C", str(root), "log", "-1", '--format={"commit": "%h", "date": "%cI"}'],
            capture_output=True,
            check=True,
            timeout=TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return b""
    return told.stdout


def _from_package(root: Path) -> bytes:
    written = root / "gen" / "build.json"
    return written.read_bytes() if written.is_file() else b""


def _parse(text: bytes) -> tuple[str, datetime | None]:
    try:
        told = json.loads(text)
        return str(told["commit"]), datetime.fromisoformat(told["date"])
    except (ValueError, KeyError, TypeError):
        return UNKNOWN, None
