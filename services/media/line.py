"""One track for everybody: its numbers, its history, and the lanes by which it leaves to each viewer."""

import secrets
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from services.media.unit import CLOCK_RATES, Kind, Unit
from services.media.wire import Template, Wire, lay_out

HISTORY_PACKETS = 1024
HALF, WHOLE = 1 << 15, 1 << 16
_RTX_PER_SECOND = 500
_NTP_EPOCH = 2_208_988_800


@dataclass(frozen=True, slots=True)
class LaneClass:
    """What makes the packets of two viewers equal before encryption.

    ``shift`` is 0 or half the sequence range: a viewer joins on the numbering that is far from wrapping, because
    one whose first packets straddle the wrap could never decrypt.
    """

    payload_type: int
    tag_length: int
    shift: int


@dataclass(slots=True)
class Lane:
    """One track on its way to one viewer."""

    wire: Wire
    payload_type: int
    rtx_payload_type: int | None
    live: bool = False
    left: bool = False
    shift: int = 0
    packets: int = 0
    octets: int = 0
    rtx_sequence: int = field(default_factory=lambda: secrets.randbelow(HALF))
    rtx_budget: int = _RTX_PER_SECOND

    @property
    def lane_class(self) -> LaneClass:
        """The class whose templates this lane sends."""
        return LaneClass(self.payload_type, self.wire.tag_length, self.shift)


@dataclass(frozen=True, slots=True)
class Frame:
    """The packets of one unit, rendered once per class of viewers."""

    first_sequence: int
    timestamp: int
    payloads: list[bytes]
    ssrc: int
    stands_at: float
    octets: int
    rendered: dict[LaneClass, list[Template]] = field(default_factory=dict)

    def templates(self, lane_class: LaneClass) -> list[Template]:
        """Lay the packets out for a class, the first time it is asked for."""
        templates = self.rendered.get(lane_class)
        if templates is None:
            first = self.first_sequence + lane_class.shift
            last = len(self.payloads) - 1
            templates = lay_out(
                [
                    header(lane_class.payload_type, first + place, self.timestamp, self.ssrc, marker=place == last)
                    + payload
                    for place, payload in enumerate(self.payloads)
                ],
                lane_class.tag_length,
            )
            self.rendered[lane_class] = templates
        return templates


class Line:
    """One track for everybody: its numbers, its history, the lanes it leaves by."""

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind
        self.ssrc = secrets.randbelow(1 << 32)
        self.rtx_ssrc = secrets.randbelow(1 << 32)
        self.lanes: list[Lane] = []
        self._sequence = secrets.randbelow(HALF)
        self._timestamp_origin = secrets.randbelow(1 << 32)
        self._history: list[tuple[int, Frame, int] | None] = [None] * HISTORY_PACKETS
        self._last: Frame | None = None
        self._cname = secrets.token_hex(8).encode()

    @property
    def next_sequence(self) -> int:
        """Number of the next packet."""
        return self._sequence

    def frame(self, unit: Unit, payloads: list[bytes], stands_at: float) -> Frame:
        """Give the payloads of a unit their numbers and keep them for who lost one.

        ``stands_at`` is the monotonic time of the unit's moment.
        """
        made = Frame(
            self._sequence,
            (self._timestamp_origin + unit.timestamp) % (1 << 32),
            payloads,
            self.ssrc,
            stands_at,
            sum(len(payload) for payload in payloads),
        )
        for place in range(len(payloads)):
            number = (self._sequence + place) % WHOLE
            self._history[number % HISTORY_PACKETS] = (number, made, place)
        self._sequence = (self._sequence + len(payloads)) % WHOLE
        self._last = made
        return made

    def send_again(self, lane: Lane, numbers: Iterable[int]) -> int:
        """Send lost packets again, by the retransmission stream where there is one; tells how many were."""
        sent = 0
        for asked in numbers:
            asked %= WHOLE  # noqa: PLW2901  aiortc counts a mask of lost packets on beyond the wrap
            number = (asked - lane.shift) % WHOLE
            kept = self._history[number % HISTORY_PACKETS]
            if kept is None or kept[0] != number or lane.rtx_budget <= 0:
                continue
            _, frame, place = kept
            marker = place == len(frame.payloads) - 1
            payload = frame.payloads[place]
            if lane.rtx_payload_type is None:
                head = header(lane.payload_type, asked, frame.timestamp, self.ssrc, marker=marker)
            else:
                head = header(lane.rtx_payload_type, lane.rtx_sequence, frame.timestamp, self.rtx_ssrc, marker=marker)
                payload = struct.pack("!H", asked) + payload
                lane.rtx_sequence = (lane.rtx_sequence + 1) % WHOLE
            lane.rtx_budget -= 1
            lane.wire.send_packet(head + payload)
            sent += 1
        return sent

    def report(self, lane: Lane, now: float, wall: float) -> None:
        """Tell a viewer what this track's clock reads now, so that it can keep sound and picture together."""
        lane.rtx_budget = _RTX_PER_SECOND
        if self._last is None or not lane.packets:
            return
        elapsed = round((now - self._last.stands_at) * CLOCK_RATES[self.kind])
        ntp = int((wall + _NTP_EPOCH) * (1 << 32)) % (1 << 64)
        sender_report = struct.pack(
            "!BBHIQIII",
            0x80,
            200,
            6,
            self.ssrc,
            ntp,
            (self._last.timestamp + elapsed) % (1 << 32),
            lane.packets % (1 << 32),
            lane.octets % (1 << 32),
        )
        item = struct.pack("!IBB", self.ssrc, 1, len(self._cname)) + self._cname
        item += bytes(4 - len(item) % 4)
        description = struct.pack("!BBH", 0x81, 202, len(item) // 4) + item
        lane.wire.send_control(sender_report + description)


def header(payload_type: int, sequence: int, timestamp: int, ssrc: int, *, marker: bool = False) -> bytes:
    """Make the twelve bytes in front of an RTP payload."""
    return struct.pack("!BBHII", 0x80, payload_type | (0x80 if marker else 0), sequence % WHOLE, timestamp, ssrc)
