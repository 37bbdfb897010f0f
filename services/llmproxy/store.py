"""The configuration file: found, read, watched and saved."""

import asyncio
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SEARCHED = (Path("config.json"), Path("~/.ccproxy/config.json"), Path("/etc/ccproxy/config.json"))
DOTENV_SEARCHED = (Path(".env"), Path(".ccproxy/.env"), Path("~/.ccproxy/.env"))
POLL_SECONDS = 1.0


class StoreError(Exception):
    """The file cannot be read or written; the message says why and names the file."""


class Store:
    """One configuration file; it may not exist, and then its document is empty."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path.expanduser() if path else _first(SEARCHED)
        if path and not self.path.exists():
            raise StoreError(f"configuration file {self.path} does not exist")
        self._seen = self._mark()

    def load(self) -> dict[str, Any]:
        """Read the document as it is written, variables and all."""
        self._seen = self._mark()
        if not self.path.exists():
            return {}
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"configuration file {self.path}: {error}") from None
        if not isinstance(document, dict):
            raise StoreError(f"configuration file {self.path}: not a JSON object")
        return document

    def save(self, document: Mapping[str, Any]) -> None:
        """Replace the file in one step; only its owner can read the new one."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")  # made with 0600
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(document, file, indent=2)
                    file.write("\n")
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self.path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StoreError(f"configuration file {self.path} cannot be written: {error.strerror}") from None
        self._seen = self._mark()

    async def changed(self) -> None:
        """Return when somebody else changed the file; a mounted one in a cluster is a link that moves."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self._mark() != self._seen:
                return

    def _mark(self) -> tuple[int, ...] | None:
        try:
            about = self.path.stat()
        except OSError:
            return None
        return about.st_ino, about.st_mtime_ns, about.st_size


def read_dotenv(environment: Mapping[str, str]) -> dict[str, str]:
    """Lay the environment over the first `.env` file that exists."""
    path = _first(DOTENV_SEARCHED)
    values: dict[str, str] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            name, separator, value = line.strip().removeprefix("export ").partition("=")
            if separator and not name.startswith("#"):
                values[name.strip()] = _unquoted(value.strip())
    return {**values, **environment}


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value.partition(" #")[0].rstrip()


def _first(paths: tuple[Path, ...]) -> Path:
    """Return the first path that exists; if none does, the one in the user's folder."""
    expanded = [path.expanduser() for path in paths]
    return next(
        (path for path in expanded if path.is_file()), next(path for path in expanded if ".ccproxy" in path.parts)
    )
