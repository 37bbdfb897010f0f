"""A file for a remote reader, piece by piece, off the event loop."""

import asyncio
from collections.abc import AsyncIterator

from services.media.artifacts import Artifact, Artifacts

PIECE_BYTES = 64 * 1024
_READ_BYTES = 16 * PIECE_BYTES


class BeyondEnd(Exception):
    """The file has no byte at the offset."""


async def read(
    artifacts: Artifacts, name: str, offset: int, length: int, *, info_only: bool
) -> AsyncIterator[Artifact | bytes]:
    """Yield the facts of a file, then its bytes in pieces; a ``length`` of 0 means to the end.

    Raises what ``Artifacts.open`` raises, or ``BeyondEnd``.
    """
    artifact, file = await asyncio.to_thread(artifacts.open, name)
    with file:
        if offset and offset >= artifact.size_bytes:
            raise BeyondEnd("the file has no byte at the offset")
        yield artifact
        if info_only:
            return
        await asyncio.to_thread(file.seek, offset)
        left = length or artifact.size_bytes - offset
        while left > 0 and (data := await asyncio.to_thread(file.read, min(left, _READ_BYTES))):
            left -= len(data)
            for start in range(0, len(data), PIECE_BYTES):
                yield data[start : start + PIECE_BYTES]
