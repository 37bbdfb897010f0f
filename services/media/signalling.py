"""The sockets of signalling clients, each one ``Signal`` stream of the gateway: frames in, frames out, bounded."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from gen.media.v1 import media_pb2
from services.media.symple.exchange import GOING_AWAY, Client, Exchange
from services.media.symple.limits import AUTHENTICATION_SECONDS

MOST_WAITING_BYTES = 4 * 1024 * 1024
BATCH_BYTES = 16 * 1024  # a message costs far more than the frames in it
_TOO_SLOW = 1008

Write = Callable[[media_pb2.SignalResponse], Awaitable[None]]


class NotOpened(Exception):
    """A stream did not begin by saying which socket it carries."""


class Socket:
    """What waits to be sent to one client; one that does not read what it is sent is closed."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._closing: media_pb2.SignalResponse.Closing | None = None
        self._news = asyncio.Event()

    def put(self, frame: bytes) -> None:
        """Send a frame, unless the socket is closing."""
        if self._closing is not None:
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        self._news.set()
        if self._bytes > MOST_WAITING_BYTES:
            self._frames.clear()
            self.close(_TOO_SLOW, "too slow")

    def close(self, code: int, reason: str) -> None:
        """Close the socket once what waits is sent."""
        if self._closing is None:
            self._closing = media_pb2.SignalResponse.Closing(code=code, reason=reason)
            self._news.set()

    async def write_to(self, write: Write) -> None:
        """Write what there is to be sent until the socket is closed."""
        while True:
            while self._frames:
                await write(media_pb2.SignalResponse(frames=media_pb2.SignalResponse.Frames(frames=self._take())))
            if self._closing is not None:
                await write(media_pb2.SignalResponse(closing=self._closing))
                return
            self._news.clear()
            await self._news.wait()

    def _take(self) -> list[bytes]:
        """Take what waits, but not so much that a batch would be large."""
        taken: list[bytes] = []
        size = 0
        while self._frames and size < BATCH_BYTES:
            taken.append(self._frames.popleft())
            size += len(taken[-1])
        self._bytes -= size
        return taken


class Signalling:
    """Brings sockets and the exchange together, and tells whoever must know that a client is gone."""

    def __init__(self, exchange: Exchange, on_lost: Callable[[str], None], on_change: Callable[[], None]) -> None:
        self._exchange = exchange
        self._on_lost = on_lost
        self._on_change = on_change
        self._ended = False

    @property
    def connected(self) -> int:
        """Count the clients that have a name."""
        return len(self._exchange)

    async def serve(self, requests: AsyncIterator[media_pb2.SignalRequest], write: Write) -> None:
        """Serve one socket until either side ends it; raises ``NotOpened``."""
        opening = await anext(requests, media_pb2.SignalRequest())
        if not opening.HasField("open"):
            raise NotOpened
        if self._ended:
            await write(media_pb2.SignalResponse(closing={"code": GOING_AWAY, "reason": "shutdown"}))
            return
        socket = Socket()
        client = self._exchange.open(socket, opening.open.token_digest, time.monotonic())
        patience = asyncio.get_running_loop().call_later(AUTHENTICATION_SECONDS, self._exchange.expire, client)
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read(requests, client, socket))
                await socket.write_to(write)
                reading.cancel()
        finally:
            patience.cancel()
            self._forget(client)

    def close(self) -> None:
        """Tell every client that the server ends, and close; who comes later is sent away."""
        self._ended = True
        self._exchange.shut_down()

    async def _read(self, requests: AsyncIterator[media_pb2.SignalRequest], client: Client, socket: Socket) -> None:
        async for request in requests:
            if request.HasField("closed"):
                break
            named = client.member is not None
            self._exchange.receive(client, request.frame, time.monotonic())
            if (client.member is not None) != named:
                self._on_change()
        socket.close(1000, "")

    def _forget(self, client: Client) -> None:
        address = client.member.address if client.member else ""
        self._exchange.lost(client)
        if address:
            self._on_lost(address)
            self._on_change()
