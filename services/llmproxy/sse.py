"""Server-sent events as providers send them: bytes in any pieces, whole events out."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

MAX_EVENT_BYTES = 32 * 1024 * 1024  # the real API takes requests of this size; no event is larger than that


class EventTooLargeError(ValueError):
    """An event grew beyond what a provider can mean."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event; ``name`` is empty where the provider gave none."""

    name: str
    data: bytes


class Decoding(Protocol):
    """Reads events out of bytes in any pieces; other framings than this module's are read the same way."""

    def feed(self, chunk: bytes) -> Iterable[Event]:
        """Take the next bytes and tell the events they complete."""

    def finish(self) -> Iterable[Event]:
        """Tell what the end of the stream completes."""


@dataclass(slots=True)
class Decoder:
    """Collects bytes until events are complete.

    Bytes are only cut at line ends, so a character split over two network chunks is never seen half. Lines end
    with LF, CRLF or CR; comments and unknown fields are skipped; several data lines join with LF; an event without
    data is none.
    """

    limit: int = MAX_EVENT_BYTES
    _rest: bytes = b""
    _name: str = ""
    _data: list[bytes] = field(default_factory=list)
    _size: int = 0
    _started: bool = False

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes and return the events they complete."""
        buffer = self._rest + chunk if self._rest else chunk
        if not self._started and len(buffer) >= 3:
            self._started = True
            buffer = buffer.removeprefix(b"\xef\xbb\xbf")
        lines = buffer.splitlines(keepends=True)
        # The last line is complete only with its LF: a CR may be the first half of CRLF.
        self._rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        if len(self._rest) + self._size > self.limit:
            raise EventTooLargeError(f"an event is larger than {self.limit} bytes")
        events = [event for line in lines if (event := self._take(line.rstrip(b"\r\n")))]
        if self._rest == b"\r" and (event := self._take(b"")):  # a blank line by CR alone ends an event as well
            events.append(event)
        return events

    def finish(self) -> list[Event]:
        """Return what the end of the stream completes: a provider may leave out the last blank line."""
        last, self._rest = self._rest, b""
        return [event for line in (last.rstrip(b"\r"), b"") if (event := self._take(line))]

    def _take(self, line: bytes) -> Event | None:
        if not line:
            name, data = self._name, self._data
            self._name, self._data, self._size = "", [], 0
            return Event(name, b"\n".join(data)) if data else None
        key, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if key == b"data":
            self._data.append(value)
            self._size += len(value)
        elif key == b"event":
            self._name = value.decode(errors="replace")
        return None
