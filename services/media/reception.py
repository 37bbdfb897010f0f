"""One received RTP track: what arrived of it is counted (RFC 3550), asked for again (RFC 4585) and made into units."""

from collections.abc import Callable, Mapping

from aiortc.rtp import RtcpReceiverInfo, RtpPacket

from services.media.depacketize import Packet, Pictures, Sounds
from services.media.inbound import Inbound
from services.media.timeline import Timeline
from services.media.unit import CLOCK_RATES, Kind, Unit

SECONDS_BETWEEN_NACKS = 0.04
MOST_NACKED = 256
_RANGE = 1 << 16


class Reception:
    """Follows one track of one publisher.

    ``retransmissions`` tells which payload type another one repeats (RFC 4588). A lost packet of video is asked for
    at once by ``nack`` and again until it comes or is given up; then the publisher is asked for a key frame.
    """

    def __init__(
        self,
        kind: Kind,
        retransmissions: Mapping[int, int],
        timeline: Timeline,
        inbound: Inbound,
        nack: Callable[[int, list[int]], None],
    ) -> None:
        self.ssrc: int | None = None
        self.packets = 0
        self._kind: Kind = kind
        self._retransmissions = retransmissions
        self._timeline = timeline
        self._inbound = inbound
        self._nack = nack
        self._pictures = Pictures()
        self._sounds = Sounds()
        self._nacked_at = float("-inf")
        self._counts = _Counts(CLOCK_RATES[kind])
        self._reported = 0
        self._reported_at = 0.0

    def take(self, arrived: RtpPacket, now: float) -> None:
        """Take a packet of the track, or one sent again."""
        sequence, payload = arrived.sequence_number, arrived.payload
        if arrived.payload_type in self._retransmissions:
            if self.ssrc is None or len(payload) < 2:
                return  # padding, by which a sender measures the path
            sequence, payload = int.from_bytes(payload[:2], "big"), payload[2:]
        else:
            if arrived.ssrc != self.ssrc:
                self._begin(arrived, now)
            self.packets += 1
            self._counts.add(arrived.sequence_number, arrived.timestamp, now)
        packet = Packet(sequence, arrived.timestamp, bool(arrived.marker), payload)
        if self._kind == "audio":
            if self._sounds.add(packet):
                self._inbound.push(
                    Unit("audio", payload, self._timeline.stamp("audio", packet.timestamp, now), key=True)
                )
            return
        for picture in self._pictures.add(packet, now):
            stamp = self._timeline.stamp("video", picture.timestamp, now)
            self._inbound.push(Unit("video", picture.data, stamp, picture.key))
        self._ask(now)

    def report(self, ntp: int, timestamp: int, now: float) -> None:
        """Take a report of the sender; ``ntp`` is its wall clock in units of 2⁻³² s."""
        self._reported, self._reported_at = ntp >> 16 & 0xFFFFFFFF, now
        self._timeline.report(self._kind, ntp / (1 << 32), timestamp)

    def block(self, now: float) -> RtcpReceiverInfo | None:
        """Tell what arrived since the last time this was asked; None before anything did."""
        if self.ssrc is None:
            return None
        since = round((now - self._reported_at) * 65_536) if self._reported else 0
        return self._counts.block(self.ssrc, self._reported, min(since, 0xFFFFFFFF))

    def _begin(self, arrived: RtpPacket, now: float) -> None:
        if self.ssrc is not None:
            self._timeline.restart(self._kind, arrived.timestamp, now)
        self.ssrc = arrived.ssrc
        self._pictures, self._sounds = Pictures(), Sounds()
        self._counts = _Counts(CLOCK_RATES[self._kind])
        self._reported = 0

    def _ask(self, now: float) -> None:
        if self._pictures.needs_key:
            self._inbound.want_key()
        if now - self._nacked_at > SECONDS_BETWEEN_NACKS and (missing := self._pictures.missing()):
            self._nacked_at = now
            self._nack(self.ssrc or 0, sorted(missing[:MOST_NACKED]))  # aiortc cannot write numbers that fall


class _Counts:
    """What arrived of one SSRC, as RFC 3550, appendix A counts it."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._first: int | None = None
        self._highest = 0
        self._received = 0
        self._jitter = 0.0
        self._transit: float | None = None
        self._expected_before = self._received_before = 0

    def add(self, sequence: int, timestamp: int, now: float) -> None:
        if self._first is None:
            self._first = self._highest = sequence
        ahead = (sequence - self._highest + _RANGE // 2) % _RANGE - _RANGE // 2
        self._highest = max(self._highest, self._highest + ahead)
        self._received += 1
        transit = now * self._rate - timestamp
        if self._transit is not None and abs(transit - self._transit) < self._rate:  # else the clock has wrapped
            self._jitter += (abs(transit - self._transit) - self._jitter) / 16
        self._transit = transit

    def block(self, ssrc: int, last_report: int, since: int) -> RtcpReceiverInfo:
        expected = self._highest - (self._first or 0) + 1
        expected_now, received_now = expected - self._expected_before, self._received - self._received_before
        self._expected_before, self._received_before = expected, self._received
        lost_now = expected_now - received_now
        fraction = min(255, lost_now * 256 // expected_now) if expected_now > 0 and lost_now > 0 else 0
        lost = max(-(1 << 23), min((1 << 23) - 1, expected - self._received))
        return RtcpReceiverInfo(ssrc, fraction, lost, self._highest & 0xFFFFFFFF, int(self._jitter), last_report, since)
