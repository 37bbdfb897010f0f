"""The calls that browsers make by signalling: what the server's own peer answers to each ``call:…`` message."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Any

from services.media import scrub
from services.media.events import Event
from services.media.offer import NoCommonCodec, UnusableOffer, parse
from services.media.peer import Peer, SetUpTimeout
from services.media.peers import Full, Peers
from services.media.streams import UnknownStream, WrongMode
from services.media.symple.message import Fields, Message

DETECTED = frozenset({"vision", "speech"})
CAPACITY = "capacity"
GONE = "connection closed"
HANGUP_SECONDS = 0.5  # who hangs up says so, but his connection's end may be here first
MOST_WAITING = 128  # messages of one caller that wait; a browser has a dozen candidates
CAPABILITIES = {"stream": ["view"], "record": ["publish"], "relay": ["publish", "view"]}

log = logging.getLogger(__name__)

Say = Callable[[str, Fields], None]
"""Sends a message of the server's to one address."""


Begin = Callable[[str], Awaitable[tuple[Peer, str]]]
"""Starts a session by an offer; returns its peer and the answer."""


@dataclass(frozen=True)
class Terms:
    """What callers get here, and how long they may take."""

    mode: str
    stream: str
    source_error: Callable[[], str]
    """Tells why there is no picture now; empty while there is one."""
    offer_seconds: float


class SourceUnavailable(Exception):
    """There is nothing to show now; the text says why, scrubbed."""


_REFUSALS = (UnusableOffer, NoCommonCodec, SetUpTimeout, UnknownStream, WrongMode, Full, SourceUnavailable)


@dataclass(frozen=True)
class Candidate:
    """An address at which a caller may be reached."""

    line: str
    mid: str


class Call:
    """One call of one address, from its acceptance to its end."""

    def __init__(self, begin: Begin, offer_seconds: float) -> None:
        self.over = False
        self.session = ""
        """Id of its session, once there is one."""
        self._begin = begin
        self._offer_seconds = offer_seconds
        self._offers: asyncio.Queue[str] = asyncio.Queue(MOST_WAITING)
        self._candidates: asyncio.Queue[Candidate] = asyncio.Queue(MOST_WAITING)

    def take(self, subtype: str, data: Fields) -> None:
        """Take what the caller says; what means nothing, or is too much, is left aside."""
        try:
            if subtype == "call:offer" and isinstance(sdp := data.get("sdp"), str):
                self._offers.put_nowait(sdp)
            elif subtype == "call:candidate" and (candidate := candidate_of(data)):
                self._candidates.put_nowait(candidate)
        except asyncio.QueueFull:
            log.info("caller says too much")

    async def run(self, answer: Callable[[str], None]) -> str:
        """Answer offers until the session ends; returns why it did, for the caller."""
        peer: Peer | None = None
        try:
            async with asyncio.timeout(self._offer_seconds):
                offer = await self._offers.get()
            peer, sdp = await self._begin(offer)
            self.session = peer.id
            answer(sdp)
            await self._follow(peer, answer)
        except TimeoutError:
            return "no offer in time"
        except _REFUSALS as refused:
            return str(refused)
        finally:
            if peer is not None:
                await asyncio.shield(peer.close())
        return peer.end_reason or "ended"

    async def _follow(self, peer: Peer, answer: Callable[[str], None]) -> None:
        """Take candidates and further offers until the session ends; raises as ``Peer.answer_again``."""
        ended = asyncio.create_task(peer.ended.wait())
        told = [asyncio.create_task(self._add_candidates(peer)), asyncio.create_task(self._renegotiate(peer, answer))]
        try:
            done, _ = await asyncio.wait({ended, *told}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (ended, *told):
                task.cancel()
            await asyncio.gather(ended, *told, return_exceptions=True)

    async def _add_candidates(self, peer: Peer) -> None:
        while True:
            candidate = await self._candidates.get()
            await peer.add_candidate(candidate.line, candidate.mid)

    async def _renegotiate(self, peer: Peer, answer: Callable[[str], None]) -> None:
        while True:
            answer(await peer.answer_again(parse(await self._offers.get()), self._offer_seconds))


class Calls:
    """Every call there is, one an address at most."""

    def __init__(self, peers: Peers, terms: Terms, say: Say) -> None:
        self._peers = peers
        self._terms = terms
        self._say = say
        self._calls: dict[str, tuple[Call, asyncio.Task[None]]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def deliver(self, message: Message) -> None:
        """Take a message for the server; only ``call:…`` messages mean something to it."""
        subtype = message.text("subtype")
        if message.text("type") != "message" or not subtype.startswith("call:"):
            return
        address = message.text("from")
        if subtype == "call:init":
            self._begin(address)
        elif subtype in {"call:hangup", "call:reject"}:
            self.end(address)
        elif address in self._calls:
            self._calls[address][0].take(subtype, message.object("data"))

    def show(self, event: Event) -> None:
        """Tell of motion or speech whoever sees it: the caller it comes from, or all who watch the server's source."""
        if event.type not in DETECTED:
            return
        for address, (call, _) in self._calls.items():
            if call.session and not call.over and event.session in ("", call.session):
                self._tell(address, f"icey:{event.type}", dict(event.data))

    def end(self, address: str) -> None:
        """End the call of an address, if there is one, without a word to it; it may call again at once."""
        if address in self._calls:
            _, task = self._calls.pop(address)
            task.cancel()

    async def close(self) -> None:
        """End every call without a word."""
        for address in tuple(self._calls):
            self.end(address)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _begin(self, address: str) -> None:
        if address in self._calls and not self._calls[address][0].over:
            self._tell(address, "call:reject", {"reason": "busy"})
        elif not self._has_room():
            self._tell(address, "call:reject", {"reason": CAPACITY})
        else:
            self.end(address)
            call = Call(partial(self._start, address), self._terms.offer_seconds)
            task = asyncio.create_task(self._run(address, call), name="call")
            self._calls[address] = (call, task)
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            self._tell(address, "call:accept")

    def _has_room(self) -> bool:
        try:
            self._peers.check_room()
        except Full:
            return False
        return True

    async def _start(self, address: str, offer: str) -> tuple[Peer, str]:
        """Start the kind of session that the mode and the offer ask for."""
        if self._terms.mode == "stream" and (error := self._terms.source_error()):
            raise SourceUnavailable(f"source unavailable: {scrub.reason(error)}")
        publishes = self._terms.mode == "record" or any(section.sends for section in parse(offer).sections)
        if self._terms.mode != "stream" and publishes:
            return await self._peers.publish(self._terms.stream, offer, address)
        return await self._peers.view(self._terms.stream, offer)

    async def _run(self, address: str, call: Call) -> None:
        try:
            reason = await call.run(lambda sdp: self._tell(address, "call:answer", {"type": "answer", "sdp": sdp}))
        finally:
            call.over = True  # whatever it ended by, another call may begin
        if reason == GONE:
            await asyncio.sleep(HANGUP_SECONDS)
        if self._calls.get(address, (None, None))[0] is call:
            del self._calls[address]
            self._tell(address, "call:hangup", {"reason": reason})

    def _tell(self, address: str, subtype: str, data: dict[str, Any] | None = None) -> None:
        self._say(address, {"subtype": subtype} | ({} if data is None else {"data": data}))


def candidate_of(data: Fields) -> Candidate | None:
    """Read a candidate; None for the empty one that ends them, and for one that names no section or no address.

    Names (``….local``) are not looked up: whoever hides his address behind one comes to ours by himself.
    """
    line, mid = data.get("candidate"), data.get("sdpMid")
    words = line.split() if isinstance(line, str) else []
    if not isinstance(mid, str) or len(words) < 8:
        return None
    try:
        ip_address(words[4])
    except ValueError:
        return None
    return Candidate(str(line), mid)
