"""The HTTP protocol of the listeners: uvicorn's, with probes answered from memory before they are parsed."""

import asyncio
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from werkzeug.exceptions import BadRequest, HTTPException, RequestHeaderFieldsTooLarge, RequestTimeout

from gateway.bridge import REFUSED
from gateway.peer import is_loopback, peer_host
from gateway.snapshots import RAW_REQUEST, Snapshots
from gateway.usage import STANDING_ROOM, Usage

LONGEST_REMEMBERED = 4096
CROWDED_SECONDS = 2.0
LARGEST_JOINED = 16 * 1024


class Doorstep(asyncio.Protocol):
    """Meets a new connection and answers its first request from memory, or brings it in to uvicorn.

    A probe makes a connection of its own for every question: nothing of uvicorn is set up for one that is answered
    here. A connection that never asks anything is closed after the keep-alive time; one beyond the limits sooner, and
    after its first answer.
    """

    def __init__(self, snapshots: Snapshots, usage: Usage, **of_uvicorn: Any) -> None:  # noqa: ANN401  handed on
        self._snapshots = snapshots
        self._usage = usage
        self._of_uvicorn = of_uvicorn
        self._connections: set[Any] = of_uvicorn["server_state"].connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let uvicorn know of the connection, so that it is closed at shutdown."""
        self._transport = transport
        self._connections.add(self)
        self._host = peer_host(transport)
        excess = self._usage.open(self._host)
        self._refusal = self._usage.too_many_sockets() if excess > 0 else None
        seconds = CROWDED_SECONDS if self._refusal else self._of_uvicorn["config"].timeout_keep_alive
        self._patience = asyncio.get_running_loop().call_later(seconds, transport.close)
        if excess > STANDING_ROOM:
            cast("asyncio.Transport", transport).abort()

    def data_received(self, data: bytes) -> None:
        """Answer the first request here, or leave it and all others to uvicorn."""
        transport = cast("asyncio.Transport", self._transport)
        answer = self._snapshots.get_raw((_place(transport, self._host), data))
        if answer is None:
            self._bring_in(transport).data_received(data)
            return
        transport.write(answer.data)
        if answer.close or self._refusal:
            transport.close()
        else:
            self._bring_in(transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the connection."""
        self._patience.cancel()
        self._connections.discard(self)
        self._usage.close(self._host)

    def shutdown(self) -> None:
        """Close, as uvicorn asks of every idle connection."""
        self._transport.close()

    def _bring_in(self, transport: asyncio.Transport) -> "SnapshotProtocol":
        self.connection_lost(None)
        protocol = SnapshotProtocol(self._snapshots, self._usage, self._refusal, **self._of_uvicorn)
        protocol.connection_made(transport)
        transport.set_protocol(protocol)
        return protocol


class Joined:
    """A transport that sends at once what is written to it within one turn of the loop.

    uvicorn writes the head and the body of an answer apart. Sending is what an answer costs most, and the client would
    be woken twice.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Send with whatever else is written now, which is never so much that a slow client would go unnoticed."""
        if not self._pieces:
            self._loop.call_soon(self.flush)
        self._pieces.append(data)
        self._size += len(data)
        if self._size > LARGEST_JOINED:
            self.flush()

    def write_now(self, data: bytes) -> None:
        """Send what is whole."""
        self.flush()
        self._transport.write(data)

    def flush(self) -> None:
        """Send what has been written."""
        if self._pieces:
            self._transport.write(b"".join(self._pieces))
            self._pieces.clear()
            self._size = 0

    def close(self) -> None:
        """Close after what was written."""
        self.flush()
        self._transport.close()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection over."""
        self.flush()
        self._transport.set_protocol(protocol)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  everything else is the transport's
        return getattr(self._transport, name)


class SnapshotProtocol(HttpToolsProtocol):
    """uvicorn's protocol, grown by a look into the snapshots.

    A GET that arrives in one read, byte for byte like one that was answered since the picture last changed, gets the
    same bytes again: measured, a third of what parsing and calling an ASGI application costs. Everything else, and
    every first of its kind, is uvicorn's.

    A head that is too large or does not come in time is refused in the words of its façade, as is every request of a
    connection with a ``refusal``. A client that leaves an answer unread is cut.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        usage: Usage,
        refusal: HTTPException | None,
        **of_uvicorn: Any,  # noqa: ANN401  handed on
    ) -> None:
        super().__init__(**of_uvicorn)
        self._snapshots = snapshots
        self._usage = usage
        self._limits = usage.limits
        self._refusal = refusal
        self._head_bytes = 0  # of a head that is not whole yet
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._deaf = False
        self._between_requests = True
        self._in_head = self._head_came = False
        self._raw: bytes | None = None
        self._answered_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Remember what of the connection decides an answer."""
        self._joined = Joined(transport)
        super().connection_made(self._joined)  # type: ignore[arg-type]  # all of a transport that uvicorn uses
        self._host = peer_host(transport)
        self._usage.open(self._host)
        self._place = _place(transport, self._host)
        self._answered_at = self.loop.time()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the socket back."""
        super().connection_lost(exc)
        self._usage.close(self._host)
        self._stop_head_timer()
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Answer from memory or let uvicorn parse."""
        if self._deaf:
            return
        if not (self._between_requests and (self.cycle is None or self.cycle.response_complete)):
            self._feed(data)
        elif not self.flow.write_paused and (answer := self._snapshots.get_raw((self._place, data))):
            self._joined.write_now(answer.data)
            self._answered_at = self.loop.time()
            if answer.close:
                self.transport.close()
        else:
            whole = data.startswith(b"GET ") and data.find(b"\r\n\r\n") == len(data) - 4
            self._raw = data if whole and len(data) <= LONGEST_REMEMBERED else None
            self._feed(data)
            self._raw = None

    def on_message_begin(self) -> None:
        """Hand the raw request on with the scope."""
        super().on_message_begin()
        self._between_requests = False
        self._in_head = True
        if self._refusal is not None:
            self.scope[REFUSED] = self._refusal  # type: ignore[literal-required]  # a scope may carry more
        if self._raw is not None:
            extensions: dict[str, Any] = {RAW_REQUEST: (self._place, self._raw)}
            self.scope["extensions"] = extensions

    def on_headers_complete(self) -> None:
        """Be done with the head."""
        super().on_headers_complete()
        self._in_head = False
        self._head_came = True
        self._head_bytes = 0
        self._stop_head_timer()
        if self._refusal is not None:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Be ready for a whole request again."""
        super().on_message_complete()
        self._between_requests = True

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the protocol of WebSockets, which counts it from now on."""
        super().handle_websocket_upgrade()
        self._usage.close(self._host)

    def _should_upgrade(self) -> bool:
        return self._refusal is None and super()._should_upgrade()

    def pause_writing(self) -> None:
        """Cut a client that does not read on."""
        super().pause_writing()
        if self._stall_timer is None:
            self._stall_timer = self.loop.call_later(self._limits.stall_seconds, self._cut_stalled)

    def resume_writing(self) -> None:
        """Be content with a client that reads."""
        super().resume_writing()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _cut_stalled(self) -> None:
        self._usage.refusals["stall"] += 1
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP in the words of the façade."""
        if self.cycle is None or self.cycle.response_complete:
            self._refuse_head(BadRequest("Invalid HTTP request"))
        else:
            super().send_400_response(msg)

    def _feed(self, data: bytes) -> None:
        """Let uvicorn parse; limit a head that is still incomplete after that, in bytes and in time."""
        most = self._limits.header_bytes
        of_head = self._in_head or self._between_requests
        if of_head and len(data) > most and data.find(b"\r\n\r\n", 0, most) < 0:
            data = data[: most + 1]
        self._head_came = False
        super().data_received(data)
        if not self._in_head or self._deaf:
            return
        if of_head and not self._head_came:
            self._head_bytes += len(data)
        if self._head_bytes > most:
            self._refuse_head(RequestHeaderFieldsTooLarge("The head of the request is too large"))
        elif self._head_timer is None:
            late = RequestTimeout("The head of the request did not come whole in time")
            self._head_timer = self.loop.call_later(self._limits.header_seconds, self._refuse_head, late)

    def _refuse_head(self, error: HTTPException) -> None:
        """Answer a request whose head is not whole, as if it were; what comes of it later is not heard.

        The place of the real request takes one for the same path, as far as that is known, whose body never comes.
        """
        self._deaf = True
        if self.transport.is_closing():
            return
        self._usage.refusals["head"] += 1
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()  # an answer to an earlier request is under way and cannot be told apart from ours
            return
        target = self.url if self.headers else b"/"
        self._refusal = error
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(b"GET %s HTTP/1.1\r\nContent-Length: 1\r\n\r\n" % target)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection only after it was really idle."""
        idle_seconds = self.loop.time() - self._answered_at
        if idle_seconds < self.timeout_keep_alive:  # answered from memory since uvicorn wound this timer
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive - idle_seconds, self.timeout_keep_alive_handler
            )
        else:
            super().timeout_keep_alive_handler()


def _place(transport: asyncio.Transport, host: str) -> tuple[Any, bool]:
    """Tell what of a connection decides an answer: the listener, and whether the peer is loopback."""
    return transport.get_extra_info("sockname")[:2], is_loopback(host)
