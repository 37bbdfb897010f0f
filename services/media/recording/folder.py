"""The folder of recordings: their names, whether there is room, what is kept and what a crash left."""

import fcntl
import logging
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from services.media.recording.mp4 import Unwritable, mend

FINISHED, GROWING, MENDING = ".mp4", ".mp4.part", ".mp4.mending"
_KEPT = re.compile(r".+-\d+(\.mp4|\.png)")  # what was put here by hand is nobody's to delete
_HEADER_BYTES = 4096  # a file no larger than this ended before its first fragment

log = logging.getLogger(__name__)


class NoRoom(Exception):
    """Nothing can be recorded now; says why."""


@dataclass(frozen=True)
class Keep:
    """How much is kept, each 0 for no limit; ``least_free_bytes`` stay free on the disk."""

    quota_bytes: int = 0
    keep_seconds: float = 0.0
    least_free_bytes: int = 0


class RecordFolder:
    """Where recordings are; its methods may wait for the disk.

    A recording grows as ``<name>.mp4.part``, locked by who writes it, and gets its name when it is complete.
    """

    def __init__(self, path: Path, keep: Keep) -> None:
        self.path = path
        self._keep = keep
        self._named = 0
        self._hopeless: set[str] = set()

    def make(self) -> None:
        """Make the folder if it is not there; raises ``NoRoom``."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NoRoom(f"{self.path} cannot be made: {error.strerror}") from error

    def check(self) -> None:
        """Raise ``NoRoom`` unless a recording can be written now."""
        try:
            disk = os.statvfs(self.path)
        except OSError as error:
            raise NoRoom(f"{self.path}: {error.strerror}") from error
        if not self.path.is_dir():
            raise NoRoom(f"{self.path}: Not a directory")
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise NoRoom(f"{self.path} is not writable")
        if disk.f_bavail * disk.f_frsize < self._keep.least_free_bytes:
            raise NoRoom(f"less than {self._keep.least_free_bytes >> 20} MiB are free in {self.path}")

    def check_quota(self) -> None:
        """Raise ``NoRoom`` when what is being written alone fills the quota, so that nothing finished could go."""
        growing = sum(_size(path) for path in self.path.glob(f"*{GROWING}"))
        if self._keep.quota_bytes and growing >= self._keep.quota_bytes:
            raise NoRoom(f"the quota of {self._keep.quota_bytes >> 20} MiB is used up")

    def begin(self, label: str) -> Path:
        """Choose where a new recording grows; never waits. The label is cut down to what is safe in a file name."""
        self._named = max(self._named + 1, time.time_ns() // 1_000_000)
        return self.path / f"{safe(label)}-{self._named}{GROWING}"

    def complete(self, part: Path) -> Path:
        """Give a complete recording its name; raises ``NoRoom``."""
        try:
            return part.rename(finished(part))
        except OSError as error:
            raise NoRoom(f"{part.name}: {error.strerror}") from error

    def mend_all(self) -> list[Path]:
        """Complete what a crash left growing, unless another process is still writing it."""
        whole = []
        for part in sorted(self.path.glob(f"*{GROWING}")):
            if part.name in self._hopeless:
                continue
            try:
                with part.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if self._mend(part):
                        whole.append(finished(part))
            except BlockingIOError:
                continue  # it is being written
            except (OSError, Unwritable) as error:  # no room now, or a disk that knows no locks
                log.warning("recording left unfinished", extra={"recording": part.name, "reason": str(error)})
        return whole

    def tidy(self) -> list[str]:
        """Delete finished recordings that are too old, then the oldest while there are too many; tell their names."""
        files = [path for path in self.path.glob("*") if _KEPT.fullmatch(path.name)]
        kept = sorted(((_modified(path), path) for path in files), reverse=True)
        oldest_wanted = time.time() - self._keep.keep_seconds if self._keep.keep_seconds else float("-inf")
        room = self._keep.quota_bytes or float("inf")
        room -= sum(_size(path) for path in self.path.glob(f"*{GROWING}"))
        deleted = []
        for modified, path in kept:
            room -= _size(path)
            if modified < oldest_wanted or room < 0:
                with suppress(OSError):
                    path.unlink()
                    deleted.append(path.name)
        return deleted

    def _mend(self, part: Path) -> bool:
        mending = part.with_name(part.name.removesuffix(GROWING) + MENDING)
        mending.unlink(missing_ok=True)  # a crash while mending
        try:
            seconds = mend(part, mending)
            if seconds:
                mending.rename(finished(part))
        finally:
            mending.unlink(missing_ok=True)
        if seconds or _size(part) <= _HEADER_BYTES:
            part.unlink()
        else:
            self._hopeless.add(part.name)
            log.warning("recording cannot be read", extra={"recording": part.name})
        return bool(seconds)


def safe(label: str) -> str:
    """Make a part of a file name of any text."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", label)[:64] or "recording"


def finished(part: Path) -> Path:
    """Tell the name that a growing recording will have."""
    return part.with_name(part.name.removesuffix(GROWING) + FINISHED)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
