"""The sending half of a peer that views: the tracks of one hub on their way to it."""

from collections.abc import Callable
from typing import cast

from aiortc import RTCDtlsTransport, RTCPeerConnection, RTCRtpSender, RTCRtpTransceiver
from aiortc.rtcrtpparameters import RTCRtpSendParameters
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpRtpfbPacket,
    unpack_remb_fci,
)

from services.media import compat
from services.media.fanout import Hub
from services.media.line import Lane
from services.media.stock import StockTrack
from services.media.unit import Kind
from services.media.wire import SegmentedWire, Wire


class Viewing:
    """Sends one hub to one peer, and claims it from the first moment so that its source runs when it is needed."""

    def __init__(self, hub: Hub, fan_out: str) -> None:
        self.publishes = False
        self.plain_packets = fan_out != "stock"
        self._hub = hub
        self._fan_out = fan_out
        self._lanes: dict[Kind, tuple[Lane, compat.Recipient, RTCRtpTransceiver]] = {}
        self._stock: list[StockTrack] = []
        self._wire: Wire | None = None
        hub.claim()

    def add(
        self, connection: RTCPeerConnection, kind: Kind, ending: Callable[[], bool], heard: Callable[[], None]
    ) -> RTCRtpTransceiver:
        """Add a track that is sent; ``ending`` says when nothing may begin any more."""
        if self._fan_out == "stock":
            track = StockTrack(kind, self._hub)
            self._stock.append(track)
            transceiver = connection.addTransceiver(track, direction="sendonly")
            _guard_stock(transceiver.sender, ending)
        else:
            transceiver = connection.addTransceiver(kind, direction="sendonly")
            line = self._hub.lines[kind]
            compat.send_as(transceiver.sender, line.ssrc, line.rtx_ssrc)
            self._take_over(transceiver, kind, ending, heard)
        return transceiver

    def polish(self, answer: str) -> str:
        """Leave the answer as it is."""
        return answer

    def refresh(self, transport: RTCDtlsTransport) -> None:
        """Follow the peer to another address, should it have changed."""
        if self._wire and compat.selected_address(transport) not in (self._wire.address, None):
            wire = self._open_wire(transport)
            for lane, _, _ in self._lanes.values():
                lane.wire = wire
            self._wire.close()
            self._wire = wire

    async def leave(self) -> None:
        """End everything that was started."""
        for kind in tuple(self._lanes):
            self._leave(kind)
        for track in self._stock:
            track.stop()
        if self._wire:
            self._wire.close()
        self._hub.release()

    def _take_over(
        self, transceiver: RTCRtpTransceiver, kind: Kind, ending: Callable[[], bool], heard: Callable[[], None]
    ) -> None:
        async def start(parameters: RTCRtpSendParameters) -> None:
            if ending() or kind in self._lanes:
                return
            transport = transceiver.sender.transport
            if self._wire is None:
                self._wire = self._open_wire(transport)
            lane = Lane(self._wire, cast("int", parameters.codecs[0].payloadType), _rtx(parameters))

            def take_control(packet: AnyRtcpPacket) -> None:
                heard()
                self._heed(kind, lane, packet)

            recipient = compat.Recipient(self._hub.lines[kind].ssrc, take_control)
            compat.listen(transport, recipient, parameters)
            self._lanes[kind] = (lane, recipient, transceiver)
            self._hub.join(kind, lane)

        async def stop() -> None:
            self._leave(kind)

        compat.replace_sending(transceiver.sender, start, stop)

    def _open_wire(self, transport: RTCDtlsTransport) -> Wire:
        path = compat.path(transport)
        return SegmentedWire(path, path.socket) if path.socket and self._fan_out == "auto" else Wire(path)

    def _heed(self, kind: Kind, lane: Lane, packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpRtpfbPacket) and packet.fmt == RTCP_RTPFB_NACK:
            self._hub.lost(kind, lane, packet.lost)
        elif isinstance(packet, RtcpPsfbPacket) and packet.fmt in (RTCP_PSFB_PLI, RTCP_PSFB_FIR):
            self._hub.picture_lost()
        elif isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP and kind == "video":
            try:
                bitrate, _ = unpack_remb_fci(packet.fci)
            except ValueError:
                return  # another application's feedback
            self._hub.estimated(lane, bitrate)

    def _leave(self, kind: Kind) -> None:
        if kind in self._lanes:
            lane, recipient, transceiver = self._lanes.pop(kind)
            self._hub.leave(kind, lane)
            compat.unlisten(transceiver.sender.transport, recipient)


def _guard_stock(sender: RTCRtpSender, ending: Callable[[], bool]) -> None:
    stock_start = sender.send

    async def start(parameters: RTCRtpSendParameters) -> None:
        if not ending():
            await stock_start(parameters)

    compat.replace_sending(sender, start, sender.stop)


def _rtx(parameters: RTCRtpSendParameters) -> int | None:
    """Tell the payload type by which lost packets of the first codec are sent again."""
    wanted = parameters.codecs[0].payloadType
    for codec in parameters.codecs:
        if codec.name.lower() == "rtx" and codec.parameters.get("apt") == wanted:
            return codec.payloadType
    return None
