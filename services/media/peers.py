"""The set of live peers: add, count, close one, close all."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from services.media import fragment
from services.media.inbound import Inbound
from services.media.load import Load
from services.media.offer import Offer, parse
from services.media.peer import Peer, State, new_id
from services.media.streams import Streams
from services.media.unit import Kind
from services.media.viewing import Viewing
from services.media.ways import Ways

CHECK_SECONDS = 0.5
_MOST_ANSWERS_AT_ONCE = 8

log = logging.getLogger(__name__)


class UnknownPeer(Exception):
    """There is no peer of that id, or not any more."""


class Full(Exception):
    """No session can be taken now; says why."""


@dataclass(frozen=True)
class Counts:
    """Calls so far; all but ``active`` never fall."""

    active: int
    total: int
    peak: int
    failed: int
    refused: int


@dataclass(frozen=True)
class Limits:
    """How many peers there may be, how busy they may make us, and how long they may be silent."""

    most: int
    load: Load
    setup_seconds: float
    silence_seconds: float


class Peers:
    """Every peer from its answer to its end.

    A peer that does not connect within ``setup_seconds`` of its answer is closed: aiortc would wait for ever. So is
    one that reports nothing for ``silence_seconds`` and does not answer when asked: aiortc would take half a minute.
    """

    def __init__(self, streams: Streams, ways: Ways, limits: Limits, on_change: Callable[[], None]) -> None:
        self.on_state: list[Callable[[Peer], None]] = []
        """Called with a peer whenever it has come further."""
        self._streams = streams
        self._ways = ways
        self._limits = limits
        self._on_change = on_change
        self._peers: dict[str, Peer] = {}
        self._answering = asyncio.Semaphore(_MOST_ANSWERS_AT_ONCE)
        self._total = self._peak = self._failed = self._refused = 0
        self._refusing = False

    async def view(self, stream: str, offer_text: str) -> tuple[Peer, str]:
        """Add a viewer of a stream; tells the peer and the answer for it.

        Raises ``UnknownStream``, ``WrongMode``, ``Full``, or what ``offer.parse`` and ``Peer.answer`` raise.
        """
        offer = parse(offer_text)
        kinds = offer.wanted()
        self.check_room()
        media = Viewing(self._streams.hub(stream), self._ways.fan_out)
        return await self._add(Peer(new_id(), stream, media, self._note), offer, kinds)

    async def publish(self, stream: str, offer_text: str, label: str = "") -> tuple[Peer, str]:
        """Add a publisher of a stream, who goes by ``label`` or else by the stream's name.

        Tells the peer and the answer for it. Raises what ``view`` raises.
        """
        offer = parse(offer_text)
        kinds = offer.offered()
        self._streams.check_publishable(stream)
        self.check_room()
        peer_id = new_id()
        make_inbound = partial(Inbound, stream, peer_id, label or stream, kinds)
        media = self._ways.receive(make_inbound, self._streams.begin)
        return await self._add(Peer(peer_id, stream, media, self._note), offer, kinds)

    def _find(self, peer_id: str) -> Peer:
        peer = self._peers.get(peer_id)
        if peer is None or peer.state in (State.ENDING, State.ENDED):
            raise UnknownPeer("no such session")
        return peer

    async def _add(self, peer: Peer, offer: Offer, kinds: tuple[Kind, ...]) -> tuple[Peer, str]:
        self._peers[peer.id] = peer
        try:
            async with self._answering:
                answer = await peer.answer(offer, kinds, self._limits.setup_seconds)
        except BaseException:  # whatever happened, also a caller that left: nothing may stay behind
            self._forget(peer)
            await asyncio.shield(peer.close())
            raise
        self._total += 1
        self._on_change()
        return peer, answer

    async def add_fragment(self, peer_id: str, text: str) -> None:
        """Give a peer more candidates; raises ``UnknownPeer``, ``UnusableFragment`` or ``RestartUnsupported``."""
        await self._find(peer_id).add_fragment(fragment.parse(text))

    def check_room(self) -> None:
        """Raise ``Full`` if a peer that comes now is refused; those there are stay untouched."""
        if why := self.full():
            self._refused += 1
            raise Full(f"no session can be taken now: {why}")

    def full(self) -> str:
        """Tell why a peer that comes now is refused; empty while none is."""
        if self._refusing:
            return "the server ends"
        if len(self._peers) >= self._limits.most:
            return f"{len(self._peers)} of {self._limits.most} sessions are taken"
        if self._limits.load.too_much:
            return "the processor is busy"
        return ""

    async def close(self, peer_id: str) -> None:
        """End one peer; raises ``UnknownPeer``."""
        await asyncio.shield(self._find(peer_id).close())

    async def close_all(self) -> None:
        """Take no more peers and end those there are."""
        self._refusing = True
        await asyncio.gather(*(peer.close() for peer in tuple(self._peers.values())))

    async def watch(self) -> None:
        """Close peers that never connected or went silent, until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            now = time.monotonic()
            for peer in tuple(self._peers.values()):
                if reason := self._overdue(peer, now):
                    log.info("peer dropped", extra={"session": peer.id[:6], "reason": reason})
                    peer.close(reason)
                elif peer.state is State.ACTIVE:
                    peer.refresh()
                    if now - peer.heard_at > self._limits.silence_seconds / 2:
                        peer.ask_whether_alive()

    def counts(self) -> Counts:
        """Count the calls."""
        active = sum(peer.state is State.ACTIVE for peer in self._peers.values())
        return Counts(active, self._total, self._peak, self._failed, self._refused)

    def listed(self) -> list[Peer]:
        """List every peer that has not ended, oldest first."""
        return list(self._peers.values())

    def _overdue(self, peer: Peer, now: float) -> str:
        if peer.state is State.CONNECTING and now - peer.answered_at > self._limits.setup_seconds:
            return "never connected"
        silent = now - peer.heard_at > self._limits.silence_seconds
        return "silent" if peer.state is State.ACTIVE and silent and peer.asked_in_vain else ""

    def _note(self, peer: Peer) -> None:
        if peer.state is State.ENDED and peer.id in self._peers:
            self._failed += not peer.was_active
            self._forget(peer)
        self._peak = max(self._peak, self.counts().active)
        for told in self.on_state:
            told(peer)
        log.info("peer state", extra={"session": peer.id[:6], "state": peer.state.name.lower()})
        self._on_change()

    def _forget(self, peer: Peer) -> None:
        self._peers.pop(peer.id, None)
