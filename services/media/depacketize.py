"""Put received RTP packets in order and pictures together (RFC 6184), without decoding anything."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

PATIENCE_SECONDS = 0.25
"""How long a lost packet is waited for: a retransmission takes a round trip."""

_MOST_WAITING = 1024
_MOST_PICTURE_BYTES = 4 << 20
_RANGE = 1 << 16
_START = b"\x00\x00\x00\x01"
_START_BYTES = len(_START)
_IDR, _SPS, _PPS = 5, 7, 8
_SLICES = {1, 2, 3, 4, _IDR}
_STAP_A, _FU_A = 24, 28


@dataclass(frozen=True, slots=True)
class Packet:
    """What counts of one RTP packet."""

    sequence: int
    timestamp: int
    marker: bool
    payload: bytes


@dataclass(frozen=True, slots=True)
class Picture:
    """One H.264 access unit in Annex B form with the RTP timestamp of its packets."""

    data: bytes
    timestamp: int
    key: bool


class Pictures:
    """Makes whole pictures of packets that come in any order, some of them never.

    A missing packet holds up what follows it for ``PATIENCE_SECONDS``; then its picture is given up, and every one up
    to the next key frame with it, since each builds on those before. ``needs_key`` says so meanwhile.
    """

    def __init__(self) -> None:
        self.needs_key = True
        self.given_up = 0
        self._next: int | None = None
        self._waiting: dict[int, tuple[Packet, float]] = {}
        self._parts: list[bytes] = []
        self._kinds: set[int] = set()
        self._size = 0
        self._timestamp: int | None = None
        self._broken = False
        self._parameter_sets: dict[int, bytes] = {}

    def missing(self) -> list[int]:
        """Tell the numbers of the packets that are waited for, oldest first."""
        if self._next is None or not self._waiting:
            return []
        ahead = max((number - self._next) % _RANGE for number in self._waiting)
        numbers = ((self._next + place) % _RANGE for place in range(ahead))
        return [number for number in numbers if number not in self._waiting]

    def add(self, packet: Packet, now: float) -> Iterator[Picture]:
        """Take a packet; yields the pictures that it completes."""
        if self._next is None:
            self._next = packet.sequence
        distance = (packet.sequence - self._next) % _RANGE
        if distance >= _RANGE - _MOST_WAITING:
            return  # came after it was given up, or twice
        if distance > _MOST_WAITING:
            self._start_again(packet.sequence)
        self._waiting.setdefault(packet.sequence, (packet, now))
        yield from self._drain()
        while self._waiting and now - self._oldest_arrival() > PATIENCE_SECONDS:
            self._give_up()
            yield from self._drain()

    def _oldest_arrival(self) -> float:
        """Tell since when it is known that something is missing."""
        return next(iter(self._waiting.values()))[1]

    def _drain(self) -> Iterator[Picture]:
        while (waiting := self._waiting.pop(self._next or 0, None)) is not None:
            packet, _ = waiting
            self._next = (packet.sequence + 1) % _RANGE
            if self._timestamp is not None and packet.timestamp != self._timestamp:
                yield from self._finish()  # its last packet had no marker
            self._timestamp = packet.timestamp
            self._take(packet.payload)
            if packet.marker:
                yield from self._finish()

    def _take(self, payload: bytes) -> None:
        if self._broken or not payload:
            return
        try:
            pieces = annex_b(payload)
        except ValueError:
            self._broken = True
            return
        for kind, piece in pieces:
            if kind in (_SPS, _PPS):
                self._parameter_sets[kind] = piece
            if kind in _SLICES and not self._kinds & _SLICES and not piece[_START_BYTES + 1 :][:1] >= b"\x80":
                self._broken = True  # its first slice does not begin at the first macroblock: that one was lost
            if kind is not None:
                self._kinds.add(kind)
            self._parts.append(piece)
            self._size += len(piece)
        self._broken = self._broken or self._size > _MOST_PICTURE_BYTES

    def _finish(self) -> Iterator[Picture]:
        parts, kinds, timestamp, broken = self._parts, self._kinds, self._timestamp, self._broken
        self._forget()
        if broken:
            self.needs_key = True
            self.given_up += 1
        elif kinds & _SLICES and timestamp is not None:
            key = _IDR in kinds
            if key:
                self.needs_key = False
                known = self._parameter_sets
                parts = [known[kind] for kind in (_SPS, _PPS) if kind in known and kind not in kinds] + parts
            if not self.needs_key:
                yield Picture(b"".join(parts), timestamp, key)

    def _forget(self) -> None:
        self._parts, self._kinds, self._size, self._timestamp, self._broken = [], set(), 0, None, False

    def _give_up(self) -> None:
        """Go on after the oldest gap; the picture it tore and those that build on it are lost."""
        oldest = min(self._waiting, key=lambda number: (number - (self._next or 0)) % _RANGE)
        timestamp = self._waiting[oldest][0].timestamp
        if self._timestamp not in (None, timestamp):
            self.given_up += 1  # that of which the last packet is missing, beside that of which the first is
        self._forget()
        self._timestamp = timestamp
        self._next = oldest
        self._broken = self.needs_key = True

    def _start_again(self, sequence: int) -> None:
        """Follow numbers that have jumped."""
        self._waiting.clear()
        self._forget()
        self._next = sequence
        self._broken = self.needs_key = True


class Sounds:
    """Passes Opus packets on in order; what comes late or twice is left out, since nobody waits for sound."""

    def __init__(self) -> None:
        self._last: int | None = None

    def add(self, packet: Packet) -> bool:
        """Tell whether a packet is the next one."""
        if self._last is not None and (packet.sequence - self._last - 1) % _RANGE >= _RANGE // 2:
            return False
        self._last = packet.sequence
        return bool(packet.payload)


def annex_b(payload: bytes) -> list[tuple[int | None, bytes]]:
    """Turn one RTP payload into pieces of an Annex B stream, each with the kind of NAL unit that begins with it.

    Raises ``ValueError`` where it is none.
    """
    if len(payload) < 2:
        raise ValueError("too short")
    kind = payload[0] & 0x1F
    if 1 <= kind < _STAP_A:
        return [(kind, _START + payload)]
    if kind == _FU_A:
        if len(payload) < 3:
            raise ValueError("empty fragment")
        if payload[1] & 0x80:
            head = payload[0] & 0xE0 | payload[1] & 0x1F
            return [(head & 0x1F, _START + bytes([head]) + payload[2:])]
        return [(None, payload[2:])]
    if kind == _STAP_A:
        return [(unit[0] & 0x1F, _START + unit) for unit in _aggregated(payload)]
    raise ValueError("not a kind of packetization mode 1")


def _aggregated(payload: bytes) -> Iterator[bytes]:
    place = 1
    while place < len(payload):
        if place + 2 > len(payload):
            raise ValueError("truncated length")
        (size,) = struct.unpack_from("!H", payload, place)
        place += 2
        if not size or place + size > len(payload):
            raise ValueError("truncated unit")
        yield payload[place : place + size]
        place += size
