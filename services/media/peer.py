"""One viewer's peer connection: offer in, answer out, tracks attached, closed exactly once."""

import asyncio
import enum
import logging
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDtlsTransport,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidStateError, OperationError
from aiortc.rtcrtpparameters import RTCRtpCodecCapability, RTCRtpSendParameters
from aiortc.rtp import RTCP_PSFB_FIR, RTCP_PSFB_PLI, RTCP_RTPFB_NACK, AnyRtcpPacket, RtcpPsfbPacket, RtcpRtpfbPacket
from aiortc.sdp import SessionDescription, candidate_from_sdp

from services.media import compat
from services.media.fanout import Hub
from services.media.line import Lane
from services.media.offer import NoCommonCodec, Offer, UnusableOffer
from services.media.stock import StockTrack
from services.media.unit import Kind
from services.media.wire import SegmentedWire, Wire

CLOSE_SECONDS = 3.0
CANDIDATE_SECONDS = 2.0
_CODECS: dict[Kind, tuple[str, ...]] = {"video": ("video/H264", "video/rtx"), "audio": ("audio/opus",)}

# What aiortc's parser is seen to raise on text that only looks like SDP.
_MALFORMED = (ValueError, AssertionError, LookupError, AttributeError, TypeError, StopIteration)

log = logging.getLogger(__name__)


class State(enum.Enum):
    """How far a peer has come; it never goes back."""

    CONNECTING = 1
    ACTIVE = 2
    ENDING = 3
    ENDED = 4


class SetUpTimeout(Exception):
    """The answer was not ready in time."""


class Peer:
    """A viewer of one hub.

    Nothing it owns outlives ``close``: aiortc goes on connecting when it is closed meanwhile and would then start
    sending for good, so its senders are started and stopped here and refuse once the peer is ending.
    """

    def __init__(self, hub: Hub, stream: str, fan_out: str, on_state: "Callable[[Peer], None]") -> None:
        self.id = secrets.token_urlsafe(18)
        self.stream = stream
        self.started_at = datetime.now(UTC)
        self.state = State.CONNECTING
        self.was_active = False
        self.answered_at = time.monotonic()
        self.heard_at = time.monotonic()
        self.asked_in_vain = False
        self.ended = asyncio.Event()
        self.end_reason = ""
        self._hub = hub
        self._fan_out = fan_out
        self._on_state = on_state
        self._connection = RTCPeerConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)  # None would ask a public server
        )
        self._connection.on("connectionstatechange", self._follow)
        self._lanes: dict[Kind, tuple[Lane, compat.Recipient, RTCRtpTransceiver]] = {}
        self._stock: list[StockTrack] = []
        self._wire: Wire | None = None
        self._closing: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._transport: RTCDtlsTransport | None = None
        hub.claim()

    async def answer(self, offer: Offer, seconds: float) -> str:
        """Answer an offer with every candidate in it.

        Raises ``UnusableOffer``, ``NoCommonCodec`` or ``SetUpTimeout``; the peer must be closed then.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._answer(offer)
        except TimeoutError:
            raise SetUpTimeout("the answer was not ready in time") from None

    async def answer_again(self, offer: Offer, seconds: float) -> str:
        """Answer a further offer of the same connection, which may pause or resume tracks but not bring new ones.

        Raises ``UnusableOffer``, ``NoCommonCodec`` or ``SetUpTimeout``; the session goes on as it was then.
        """
        try:
            async with asyncio.timeout(seconds):
                if len(offer.sections) != len(self._connection.getTransceivers()):
                    raise UnusableOffer("the offer has other media sections than the first one")
                await self._apply(offer)
                return await self._describe()
        except TimeoutError:
            raise SetUpTimeout("the answer was not ready in time") from None

    async def add_candidate(self, line: str, mid: str) -> None:
        """Take an address at which the other side may be reached; one that is of no use is not an error."""
        if self._ending():
            return
        try:
            candidate = candidate_from_sdp(line.removeprefix("a=").removeprefix("candidate:"))
            candidate.sdpMid = mid
            async with asyncio.timeout(CANDIDATE_SECONDS):  # a name is looked up
                await self._connection.addIceCandidate(candidate)
        except (*_MALFORMED, InvalidStateError, OSError):
            log.info("candidate not used", extra={"session": self.id[:6]})

    def close(self, reason: str = "") -> "asyncio.Task[None]":
        """Start to end this peer, the first time it is asked; await the result to know when it has ended.

        ``reason`` is told to whoever called by signalling.
        """
        if self._closing is None:
            self.end_reason = reason
            self._enter(State.ENDING)
            self._closing = asyncio.create_task(self._close(), name="close peer")
        return self._closing

    def ask_whether_alive(self) -> None:
        """Ask a peer that has not been heard whether it is there; its answer counts as being heard."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="ask peer")

    def refresh(self) -> None:
        """Follow the peer to another address, should it have changed."""
        if self._wire is None or self._transport is None or self.state is not State.ACTIVE:
            return
        if compat.selected_address(self._transport) not in (self._wire.address, None):
            wire = self._open_wire(self._transport)
            for lane, _, _ in self._lanes.values():
                lane.wire = wire
            self._wire.close()
            self._wire = wire

    async def _answer(self, offer: Offer) -> str:
        wanted = offer.wanted()
        try:
            SessionDescription.parse(offer.text)
        except _MALFORMED:
            raise UnusableOffer("the offer is malformed") from None
        ours = [self._add(kind) for kind in wanted]
        await self._apply(offer)
        for transceiver in self._connection.getTransceivers():
            if transceiver not in ours:
                transceiver.direction = "inactive"  # a received track that nobody reads would grow without bound
            elif self._fan_out != "stock":
                compat.without_header_extensions(transceiver)
        self._transport = ours[0].sender.transport
        if offer.leaves_role:
            compat.answer_as_dtls_server(ours[0])
        answer = await self._describe()
        self.answered_at = time.monotonic()
        return answer

    async def _apply(self, offer: Offer) -> None:
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(offer.text, "offer"))
        except OperationError:
            raise NoCommonCodec("a media section has no codec in common") from None
        except _MALFORMED:
            raise UnusableOffer("the offer is malformed") from None

    async def _describe(self) -> str:
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        return self._connection.localDescription.sdp

    def _add(self, kind: Kind) -> RTCRtpTransceiver:
        """Add a track in the direction of the viewer; preferences only count before the offer is applied."""
        if self._fan_out == "stock":
            track = StockTrack(kind, self._hub)
            self._stock.append(track)
            transceiver = self._connection.addTransceiver(track, direction="sendonly")
            self._guard_stock(transceiver.sender)
        else:
            transceiver = self._connection.addTransceiver(kind, direction="sendonly")
            line = self._hub.lines[kind]
            compat.send_as(transceiver.sender, line.ssrc, line.rtx_ssrc)
            self._take_over(transceiver, kind)
        transceiver.setCodecPreferences(_preferences(kind))
        compat.guard_connecting(transceiver, self._ending)
        return transceiver

    def _take_over(self, transceiver: RTCRtpTransceiver, kind: Kind) -> None:
        async def start(parameters: RTCRtpSendParameters) -> None:
            if self._ending() or kind in self._lanes:
                return
            transport = transceiver.sender.transport
            if self._wire is None:
                self._wire = self._open_wire(transport)
            lane = Lane(self._wire, cast("int", parameters.codecs[0].payloadType), _rtx(parameters))
            recipient = compat.Recipient(self._hub.lines[kind].ssrc, lambda packet: self._heard(kind, packet))
            compat.listen(transport, recipient, parameters)
            self._lanes[kind] = (lane, recipient, transceiver)
            self._hub.join(kind, lane)

        async def stop() -> None:
            self._leave(kind)

        compat.replace_sending(transceiver.sender, start, stop)

    def _ending(self) -> bool:
        return self.state in (State.ENDING, State.ENDED)

    def _guard_stock(self, sender: RTCRtpSender) -> None:
        stock_start = sender.send

        async def start(parameters: RTCRtpSendParameters) -> None:
            if not self._ending():
                await stock_start(parameters)

        compat.replace_sending(sender, start, sender.stop)

    def _open_wire(self, transport: RTCDtlsTransport) -> Wire:
        path = compat.path(transport)
        return SegmentedWire(path, path.socket) if path.socket and self._fan_out == "auto" else Wire(path)

    async def _ask(self) -> None:
        asked_at = time.monotonic()
        if self._transport is not None and await compat.answers(self._transport):
            self.heard_at = time.monotonic()
        self.asked_in_vain = self.heard_at < asked_at

    def _heard(self, kind: Kind, packet: AnyRtcpPacket) -> None:
        self.heard_at = time.monotonic()
        self.asked_in_vain = False
        lane = self._lanes[kind][0] if kind in self._lanes else None
        if lane is None:
            return
        if isinstance(packet, RtcpRtpfbPacket) and packet.fmt == RTCP_RTPFB_NACK:
            self._hub.lost(kind, lane, packet.lost)
        elif isinstance(packet, RtcpPsfbPacket) and packet.fmt in (RTCP_PSFB_PLI, RTCP_PSFB_FIR):
            self._hub.picture_lost()

    def _leave(self, kind: Kind) -> None:
        if kind in self._lanes:
            lane, recipient, transceiver = self._lanes.pop(kind)
            self._hub.leave(kind, lane)
            compat.unlisten(transceiver.sender.transport, recipient)

    def _follow(self) -> None:
        connection_state = self._connection.connectionState
        if connection_state == "connected" and self.state is State.CONNECTING:
            self.heard_at = time.monotonic()
            self._enter(State.ACTIVE)
        elif connection_state in ("failed", "closed"):
            self.close(f"connection {connection_state}")

    def _enter(self, state: State) -> None:
        self.state = state
        self.was_active = self.was_active or state is State.ACTIVE
        self._on_state(self)

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._connection.close()
        except TimeoutError:
            log.warning("closing a peer took too long", extra={"session": self.id[:6]})
        if self._asking:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        for kind in tuple(self._lanes):
            self._leave(kind)
        for track in self._stock:
            track.stop()
        if self._wire:
            self._wire.close()
        self._hub.release()
        self._enter(State.ENDED)
        self.ended.set()


def _rtx(parameters: RTCRtpSendParameters) -> int | None:
    """Tell the payload type by which lost packets of the first codec are sent again."""
    wanted = parameters.codecs[0].payloadType
    for codec in parameters.codecs:
        if codec.name.lower() == "rtx" and codec.parameters.get("apt") == wanted:
            return codec.payloadType
    return None


def _preferences(kind: Kind) -> list[RTCRtpCodecCapability]:
    wanted = _CODECS[kind]
    capabilities = RTCRtpSender.getCapabilities(kind).codecs
    return [codec for name in wanted for codec in capabilities if codec.mimeType == name]
