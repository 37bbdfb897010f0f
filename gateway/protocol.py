"""The HTTP protocol of the listeners: uvicorn's, with probes answered from memory before they are parsed."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.peer import is_loopback
from gateway.snapshots import RAW_REQUEST, Snapshots

LONGEST_REMEMBERED = 4096


class Doorstep(asyncio.Protocol):
    """Meets a new connection and answers its first request from memory, or brings it in to uvicorn.

    A probe makes a connection of its own for every question: nothing of uvicorn is set up for one that is answered
    here. A connection that never asks anything is closed after the keep-alive time.
    """

    def __init__(self, snapshots: Snapshots, **of_uvicorn: Any) -> None:  # noqa: ANN401  handed on
        self._snapshots = snapshots
        self._of_uvicorn = of_uvicorn
        self._connections: set[Any] = of_uvicorn["server_state"].connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let uvicorn know of the connection, so that it is closed at shutdown."""
        self._transport = transport
        self._connections.add(self)
        seconds = self._of_uvicorn["config"].timeout_keep_alive
        self._patience = asyncio.get_running_loop().call_later(seconds, transport.close)

    def data_received(self, data: bytes) -> None:
        """Answer the first request here, or leave it and all others to uvicorn."""
        transport = cast("asyncio.Transport", self._transport)
        answer = self._snapshots.get_raw((_place(transport), data))
        if answer is None:
            self._bring_in(transport).data_received(data)
            return
        transport.write(answer.data)
        if answer.close:
            transport.close()
        else:
            self._bring_in(transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the connection."""
        self._patience.cancel()
        self._connections.discard(self)

    def shutdown(self) -> None:
        """Close, as uvicorn asks of every idle connection."""
        self._transport.close()

    def _bring_in(self, transport: asyncio.Transport) -> "SnapshotProtocol":
        self.connection_lost(None)
        protocol = SnapshotProtocol(self._snapshots, **self._of_uvicorn)
        protocol.connection_made(transport)
        transport.set_protocol(protocol)
        return protocol


class SnapshotProtocol(HttpToolsProtocol):
    """uvicorn's protocol, grown by a look into the snapshots.

    A GET that arrives in one read, byte for byte like one that was answered since the picture last changed, gets the
    same bytes again: measured, a third of what parsing and calling an ASGI application costs. Everything else, and
    every first of its kind, is uvicorn's.
    """

    def __init__(self, snapshots: Snapshots, **of_uvicorn: Any) -> None:  # noqa: ANN401  handed on
        super().__init__(**of_uvicorn)
        self._snapshots = snapshots
        self._between_requests = True
        self._raw: bytes | None = None
        self._answered_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Remember what of the connection decides an answer."""
        super().connection_made(transport)
        self._place = _place(transport)
        self._answered_at = self.loop.time()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        """Answer from memory or let uvicorn parse."""
        if not (self._between_requests and (self.cycle is None or self.cycle.response_complete)):
            super().data_received(data)
        elif answer := self._snapshots.get_raw((self._place, data)):
            self.transport.write(answer.data)
            self._answered_at = self.loop.time()
            if answer.close:
                self.transport.close()
        else:
            whole = data.startswith(b"GET ") and data.find(b"\r\n\r\n") == len(data) - 4
            self._raw = data if whole and len(data) <= LONGEST_REMEMBERED else None
            super().data_received(data)
            self._raw = None

    def on_message_begin(self) -> None:
        """Hand the raw request on with the scope."""
        super().on_message_begin()
        self._between_requests = False
        if self._raw is not None:
            extensions: dict[str, Any] = {RAW_REQUEST: (self._place, self._raw)}
            self.scope["extensions"] = extensions

    def on_message_complete(self) -> None:
        """Be ready for a whole request again."""
        super().on_message_complete()
        self._between_requests = True

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection only after it was really idle."""
        idle_seconds = self.loop.time() - self._answered_at
        if idle_seconds < self.timeout_keep_alive:  # answered from memory since uvicorn wound this timer
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive - idle_seconds, self.timeout_keep_alive_handler
            )
        else:
            super().timeout_keep_alive_handler()


def _place(transport: asyncio.Transport) -> tuple[Any, bool]:
    """Tell what of a connection decides an answer: the listener, and whether the peer is loopback."""
    return transport.get_extra_info("sockname")[:2], is_loopback(transport.get_extra_info("peername")[0])
