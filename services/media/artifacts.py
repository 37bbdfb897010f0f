"""Files that may be handed out: recordings, snapshots and clips, found by a name that cannot leave their folders."""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

GROWING = ".part"
MOST_LISTED = 1000

_MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}
_OTHER_TYPE = "application/octet-stream"  # never a type that a browser would run


class UnknownArtifact(Exception):
    """There is no such file."""


class OutsideFolder(Exception):
    """The name leads out of the folders."""


@dataclass(frozen=True)
class Artifact:
    """Facts of one file; ``name`` is its path below the record directory, with slashes."""

    name: str
    size_bytes: int
    modified_at: datetime
    etag: str

    @property
    def active(self) -> bool:
        """Whether it is still being written."""
        return self.name.endswith(GROWING)

    @property
    def media_type(self) -> str:
        """The media type by the end of its name."""
        return _MEDIA_TYPES.get(os.path.splitext(self.name.removesuffix(GROWING))[1].lower(), _OTHER_TYPE)  # noqa: PTH122  a name, no path


class Artifacts:
    """The files of some folders, each under a first word of the name; the record directory has the empty word.

    Every method may wait for the disk.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders

    def listed(self) -> list[Artifact]:
        """List what the folders hold themselves, newest first; what lies deeper or is no media is not listed."""
        found = [artifact for word, folder in self._folders.items() for artifact in _files(word, folder)]
        media = [artifact for artifact in found if artifact.media_type != _OTHER_TYPE]
        return sorted(media, key=lambda artifact: artifact.modified_at, reverse=True)[:MOST_LISTED]

    def open(self, name: str) -> tuple[Artifact, FileIO]:
        """Open a file, to be closed by who asked; raises ``UnknownArtifact`` or ``OutsideFolder``.

        It is walked to folder by folder without following a link, so nothing that happens meanwhile leads elsewhere.
        """
        parts = name.split("/")
        if ".." in parts or name.startswith("/"):
            raise OutsideFolder("the name leads out of the record directory")
        if "\0" in name or not all(parts) or "." in parts:
            raise UnknownArtifact("no such file")
        word = parts[0] if len(parts) > 1 and parts[0] in self._folders else ""
        try:
            file = FileIO(_walk(self._folders[word], parts[1:] if word else parts))
        except OSError:
            raise UnknownArtifact("no such file") from None
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            file.close()
            raise UnknownArtifact("no such file")
        return _facts(name, facts), file


def _walk(folder: Path, parts: list[str]) -> int:
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    *between, last = parts
    try:
        for part in between:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=held)
            os.close(held)
            held = below
        return os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=held)  # a pipe must not hold us up
    finally:
        os.close(held)


def _files(word: str, folder: Path) -> Iterator[Artifact]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # it may get another name meanwhile
                facts = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(facts.st_mode):
                    yield _facts(f"{word}/{entry.name}".lstrip("/"), facts)


def _facts(name: str, facts: os.stat_result) -> Artifact:
    etag = f"{facts.st_ino:x}-{facts.st_mtime_ns:x}-{facts.st_size:x}"
    return Artifact(name, facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC), etag)
