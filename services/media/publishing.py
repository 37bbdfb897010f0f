"""The receiving half of a peer that publishes: its packets, undecoded, become the units of one inbound."""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable
from typing import cast

from aiortc import RTCDtlsTransport, RTCPeerConnection, RTCRtpTransceiver
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSrPacket,
    RtpPacket,
    pack_remb_fci,
)

from services.media import compat
from services.media.inbound import Inbound
from services.media.reception import Reception
from services.media.timeline import Timeline
from services.media.unit import Kind
from services.media.wire import Wire

REPORT_SECONDS = 1.0
LEAST_BITRATE = 150_000
_RTPMAP_H264 = re.compile(r"^a=rtpmap:(\d+) H264/90000\r?$", re.MULTILINE)

log = logging.getLogger(__name__)


class Publishing:
    """Receives the tracks of one peer into an ``Inbound``, which begins when the first of them can carry something.

    It answers for aiortc's receivers, so that no decoder ever runs: it reports what arrived, asks for what was lost,
    for key frames, and tells the publisher the most it may send, once a second.
    """

    def __init__(
        self,
        make_inbound: Callable[[Callable[[], None]], Inbound],
        begin: Callable[[Inbound], None],
        most_bitrate: int,
    ) -> None:
        self.publishes = True
        self.plain_packets = True
        self.inbound = make_inbound(self._ask_for_key)
        self._begin = begin
        self._most_bitrate = most_bitrate
        self._begun = False
        self._ssrc = secrets.randbelow(1 << 32)
        self._timeline = Timeline()
        self._tracks: dict[Kind, tuple[Reception, compat.Tap, RTCRtpTransceiver]] = {}
        self._wire: Wire | None = None
        self._reporting: asyncio.Task[None] | None = None

    def add(
        self, connection: RTCPeerConnection, kind: Kind, ending: Callable[[], bool], heard: Callable[[], None]
    ) -> RTCRtpTransceiver:
        """Add a track that is received; ``ending`` says when nothing may begin any more."""
        transceiver = connection.addTransceiver(kind, direction="recvonly")

        async def start(parameters: RTCRtpReceiveParameters) -> None:
            if not ending() and kind not in self._tracks:
                self._start(kind, transceiver, parameters, heard)

        async def stop() -> None:
            self._stop(kind)

        compat.replace_receiving(transceiver.receiver, start, stop)
        return transceiver

    def polish(self, answer: str) -> str:
        """Tell browsers to begin at full quality: left alone they spend ten seconds finding out that they may.

        https://datatracker.ietf.org/doc/html/draft-alvestrand-rmcat-remb-03 gives the limit, not the start.
        """
        start = f";x-google-start-bitrate={self._most_bitrate // 1000}"
        for payload_type in _RTPMAP_H264.findall(answer):
            answer = re.sub(rf"^(a=fmtp:{payload_type} [^\r\n]*)", rf"\1{start}", answer, flags=re.MULTILINE)
        return answer

    def refresh(self, transport: RTCDtlsTransport) -> None:
        """Follow the peer to another address, should it have changed."""
        if self._wire and compat.selected_address(transport) not in (self._wire.address, None):
            self._wire.close()
            self._wire = Wire(compat.path(transport))

    async def leave(self) -> None:
        """End the inbound and everything that was started."""
        if self._reporting:
            self._reporting.cancel()
            await asyncio.gather(self._reporting, return_exceptions=True)
        for kind in tuple(self._tracks):
            self._stop(kind)
        self.inbound.end()
        if self._wire:
            self._wire.close()

    def _ask_for_key(self) -> None:
        if "video" in self._tracks and (ssrc := self._tracks["video"][0].ssrc) is not None:
            self._send(bytes(RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=self._ssrc, media_ssrc=ssrc)))

    def _start(
        self,
        kind: Kind,
        transceiver: RTCRtpTransceiver,
        parameters: RTCRtpReceiveParameters,
        heard: Callable[[], None],
    ) -> None:
        transport = transceiver.receiver.transport
        if self._wire is None:
            self._wire = Wire(compat.path(transport))
        reception = Reception(kind, _retransmissions(parameters), self._timeline, self.inbound, self._nack)

        def take(packet: RtpPacket) -> None:
            heard()
            reception.take(packet, time.monotonic())

        def take_control(packet: AnyRtcpPacket) -> None:
            heard()
            if isinstance(packet, RtcpSrPacket) and packet.ssrc == reception.ssrc:
                reception.report(packet.sender_info.ntp_timestamp, packet.sender_info.rtp_timestamp, time.monotonic())

        tap = compat.Tap(take, take_control)
        compat.receive(transport, tap, parameters)
        self._tracks[kind] = (reception, tap, transceiver)
        if not self._begun:
            self._begun = True
            self._reporting = asyncio.create_task(self._report(), name="receiver reports")
            self._begin(self.inbound)

    def _stop(self, kind: Kind) -> None:
        if kind in self._tracks:
            _, tap, transceiver = self._tracks.pop(kind)
            compat.unreceive(transceiver.receiver.transport, tap)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            now = time.monotonic()
            blocks = [reception.block(now) for reception, _, _ in self._tracks.values()]
            known = [block for block in blocks if block is not None]
            if not known:
                continue
            bitrate = max(LEAST_BITRATE, min(self._most_bitrate, self.inbound.most_bitrate or self._most_bitrate))
            limit = RtcpPsfbPacket(
                fmt=RTCP_PSFB_APP,
                ssrc=self._ssrc,
                media_ssrc=0,
                fci=pack_remb_fci(bitrate, [block.ssrc for block in known]),
            )
            self._send(bytes(RtcpRrPacket(ssrc=self._ssrc, reports=known)) + bytes(limit))

    def _nack(self, ssrc: int, numbers: list[int]) -> None:
        self._send(bytes(RtcpRtpfbPacket(fmt=RTCP_RTPFB_NACK, ssrc=self._ssrc, media_ssrc=ssrc, lost=numbers)))

    def _send(self, control: bytes) -> None:
        if self._wire:
            self._wire.send_control(control)


def _retransmissions(parameters: RTCRtpReceiveParameters) -> dict[int, int]:
    """Tell which payload type sends again what belongs to another."""
    return {
        cast("int", codec.payloadType): int(codec.parameters["apt"] or 0)
        for codec in parameters.codecs
        if codec.name.lower() == "rtx" and "apt" in codec.parameters
    }
