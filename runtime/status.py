"""The one status document of a process, told to everyone who watches it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

LEAST_INTERVAL_SECONDS = 0.05  # at most 20 documents a second

Document = TypeVar("Document")


class StatusFeed(Generic[Document]):
    """Keeps watchers in step with a document that ``build`` makes anew whenever ``changed`` was called.

    Nothing in the document may tick; a document equal to the last one told is not told again.
    """

    def __init__(self, build: Callable[[], Document]) -> None:
        self.build = build
        self._watchers: set[asyncio.Event] = set()
        self._closed = False

    def changed(self) -> None:
        """Say that the document may read differently now."""
        for dirty in self._watchers:
            dirty.set()

    def close(self) -> None:
        """End every watching stream after its last document."""
        self._closed = True
        self.changed()

    async def watch(self) -> AsyncIterator[Document]:
        """Yield the document at once and again whenever it differs, coalesced to 20 a second."""
        dirty = asyncio.Event()
        self._watchers.add(dirty)
        told: Document | None = None
        try:
            while True:
                dirty.clear()
                last = self._closed
                document = self.build()
                if document != told:
                    told = document
                    yield document
                if last:
                    return
                await asyncio.sleep(LEAST_INTERVAL_SECONDS)
                await dirty.wait()
        finally:
            self._watchers.discard(dirty)
