"""One peer connection: offer in, answer out, tracks attached, closed exactly once."""

import asyncio
import enum
import logging
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

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
from aiortc.rtcrtpparameters import RTCRtpCodecCapability
from aiortc.sdp import SessionDescription, candidate_from_sdp

from services.media import compat
from services.media.fragment import MOST_CANDIDATES, Fragment
from services.media.offer import NoCommonCodec, Offer, UnusableOffer
from services.media.unit import Kind

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


class RestartUnsupported(Exception):
    """An ICE restart was asked for: the session must be made anew."""


class Media(Protocol):
    """What flows over a peer: a ``Viewing``, a ``Publishing``, or a ``Transcoding`` in place of the latter."""

    publishes: bool
    plain_packets: bool
    """Whether packets are made or read here, and so are to be without header extensions."""

    def add(
        self, connection: RTCPeerConnection, kind: Kind, ending: Callable[[], bool], heard: Callable[[], None]
    ) -> RTCRtpTransceiver:
        """Add a track, which begins by itself once connected unless ``ending``; ``heard`` is called by every sign."""
        ...

    def polish(self, answer: str) -> str:
        """Change the text of the answer, which aiortc has made, where it says too little."""
        ...

    def refresh(self, transport: RTCDtlsTransport) -> None:
        """Follow the peer to another address, should it have changed."""
        ...

    async def leave(self) -> None:
        """End everything that was started; called once, after the connection has ended."""
        ...


def new_id() -> str:
    """Make an id that nobody can guess: it is the only handle of its session."""
    return secrets.token_urlsafe(18)


class Peer:
    """A session with one browser or program.

    Nothing it owns outlives ``close``: aiortc goes on connecting when it is closed meanwhile and would then start
    sending and receiving for good, so both are started and stopped by its ``Media``, which refuses once the peer is
    ending.
    """

    def __init__(self, peer_id: str, stream: str, media: Media, on_state: "Callable[[Peer], None]") -> None:
        self.id = peer_id
        self.stream = stream
        self.media = media
        self.started_at = datetime.now(UTC)
        self.state = State.CONNECTING
        self.was_active = False
        self.answered_at = time.monotonic()
        self.heard_at = time.monotonic()
        self.asked_in_vain = False
        self.ended = asyncio.Event()
        self.end_reason = ""
        self._on_state = on_state
        self._ufrags: frozenset[str] = frozenset()
        self._candidates = 0
        self._connection = RTCPeerConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)  # None would ask a public server
        )
        self._connection.on("connectionstatechange", self._follow)
        self._closing: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._transport: RTCDtlsTransport | None = None

    async def answer(self, offer: Offer, kinds: tuple[Kind, ...], seconds: float) -> str:
        """Answer an offer, with tracks of these kinds and with every candidate in it.

        Raises ``UnusableOffer``, ``NoCommonCodec`` or ``SetUpTimeout``; the peer must be closed then.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._answer(offer, kinds)
        except TimeoutError:
            raise SetUpTimeout("the answer was not ready in time") from None

    async def answer_again(self, offer: Offer, seconds: float) -> str:
        """Answer a further offer of the same connection, which may pause or resume tracks but not bring new ones.

        Raises ``UnusableOffer``, ``NoCommonCodec`` or ``SetUpTimeout``; the session goes on as it was then.
        """
        try:
            async with asyncio.timeout(seconds):
                tracks = [section for section in offer.sections if section.kind in ("audio", "video")]
                if len(tracks) != len(self._connection.getTransceivers()):
                    raise UnusableOffer("the offer has other media sections than the first one")
                await self._apply(offer)
                return await self._describe()
        except TimeoutError:
            raise SetUpTimeout("the answer was not ready in time") from None

    async def add_fragment(self, fragment: Fragment) -> None:
        """Take the candidates of a fragment; raises ``RestartUnsupported`` where it begins another ICE generation."""
        if fragment.ufrag not in self._ufrags:
            raise RestartUnsupported("the session cannot be restarted")
        await asyncio.gather(*(self.add_candidate(line, mid) for line, mid in fragment.candidates))

    async def add_candidate(self, line: str, mid: str) -> None:
        """Take an address at which the other side may be reached; one that is of no use is not an error."""
        self._candidates += 1
        if self._ending() or self._candidates > MOST_CANDIDATES:
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
        if self._transport is not None and self.state is State.ACTIVE:
            self.media.refresh(self._transport)

    async def _answer(self, offer: Offer, kinds: tuple[Kind, ...]) -> str:
        try:
            SessionDescription.parse(offer.text)
        except _MALFORMED:
            raise UnusableOffer("the offer is malformed") from None
        ours = [self._add(kind) for kind in kinds]
        await self._apply(offer)
        for transceiver in self._connection.getTransceivers():
            if transceiver not in ours:
                transceiver.direction = "inactive"  # a received track that nobody reads would grow without bound
        self._transport = ours[0].receiver.transport
        if offer.leaves_role:
            compat.answer_as_dtls_server(ours[0])
        answer = await self._describe()
        self.answered_at = time.monotonic()
        return answer

    async def _apply(self, offer: Offer) -> None:
        self._ufrags = offer.ufrags
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(offer.text, "offer"))
        except OperationError:
            raise NoCommonCodec("a media section has no codec in common") from None
        except _MALFORMED:
            raise UnusableOffer("the offer is malformed") from None

    async def _describe(self) -> str:
        if self.media.plain_packets:
            for transceiver in self._connection.getTransceivers():
                compat.without_header_extensions(transceiver)
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        return self.media.polish(self._connection.localDescription.sdp)

    def _add(self, kind: Kind) -> RTCRtpTransceiver:
        """Add a track in the direction of the media; preferences only count before the offer is applied."""
        transceiver = self.media.add(self._connection, kind, self._ending, self._heard)
        transceiver.setCodecPreferences(_preferences(kind))
        compat.guard_connecting(transceiver, self._ending)
        return transceiver

    def _ending(self) -> bool:
        return self.state in (State.ENDING, State.ENDED)

    async def _ask(self) -> None:
        asked_at = time.monotonic()
        if self._transport is not None and await compat.answers(self._transport):
            self.heard_at = time.monotonic()
        self.asked_in_vain = self.heard_at < asked_at

    def _heard(self) -> None:
        self.heard_at = time.monotonic()
        self.asked_in_vain = False

    def _follow(self) -> None:
        connection_state = self._connection.connectionState
        if connection_state == "connected" and self.state is State.CONNECTING:
            self._heard()
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
        await self.media.leave()
        self._enter(State.ENDED)
        self.ended.set()


def _preferences(kind: Kind) -> list[RTCRtpCodecCapability]:
    wanted = _CODECS[kind]
    capabilities = RTCRtpSender.getCapabilities(kind).codecs
    return [codec for name in wanted for codec in capabilities if codec.mimeType == name]
