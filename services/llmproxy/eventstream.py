"""AWS event streams: binary frames in any pieces, whole frames out, every checksum checked.

The format is described at https://smithy.io/2.0/aws/amazon-eventstream.html: lengths of all and of the headers with
their CRC-32, headers, payload, and the CRC-32 of everything before it.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

MAX_FRAME_BYTES = 24 * 1024 * 1024  # payloads are 16 MiB at most, headers 128 KiB; later versions may allow more
_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_FIXED_BYTES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Sizes of header values that need no length: booleans, integers, a time, a UUID. None of them matters here."""
_BYTES, _TEXT = 6, 7


class BrokenFrameError(ValueError):
    """The bytes are no event stream, or not the ones that were sent."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message; of its headers only the texts are kept."""

    headers: Mapping[str, str]
    payload: bytes


@dataclass(slots=True)
class FrameDecoder:
    """Collects bytes until frames are complete."""

    _rest: bytearray = field(default_factory=bytearray)

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Take the next bytes and yield the frames they complete; raises ``BrokenFrameError``."""
        self._rest += chunk
        while len(self._rest) >= _PRELUDE.size:
            total, headers, checksum = _PRELUDE.unpack_from(self._rest)
            if zlib.crc32(self._rest[:8]) != checksum:
                raise BrokenFrameError("a frame begins with a wrong checksum")
            if not _PRELUDE.size + headers + _CRC.size <= total <= MAX_FRAME_BYTES:
                raise BrokenFrameError("a frame has impossible lengths")
            if len(self._rest) < total:
                return
            whole = bytes(self._rest[:total])
            del self._rest[:total]
            yield _frame(whole, headers)

    def finish(self) -> None:
        """Raise ``BrokenFrameError`` when the stream ended within a frame."""
        if self._rest:
            raise BrokenFrameError("the stream ended within a frame")


def _frame(whole: bytes, headers_length: int) -> Frame:
    end = len(whole) - _CRC.size
    if zlib.crc32(whole[:end]) != _CRC.unpack_from(whole, end)[0]:
        raise BrokenFrameError("a frame has a wrong checksum")
    payload_at = _PRELUDE.size + headers_length
    try:
        headers = dict(_headers(whole[_PRELUDE.size : payload_at]))
    except (IndexError, struct.error, UnicodeDecodeError):
        raise BrokenFrameError("a frame has broken headers") from None
    return Frame(headers, whole[payload_at:end])


def _headers(data: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        name, kind = data[at + 1 : name_end].decode(), data[name_end]
        at = name_end + 1
        if kind in (_BYTES, _TEXT):
            (length,) = _LENGTH.unpack_from(data, at)
            value = data[at + 2 : at + 2 + length]
            at += 2 + length
            if kind == _TEXT:
                yield name, value.decode()
        elif kind in _FIXED_BYTES:
            at += _FIXED_BYTES[kind]
        else:
            raise IndexError
    if at != len(data):
        raise IndexError
