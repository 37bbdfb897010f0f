"""The WebSocket protocol of the listeners: uvicorn's, with a last word for a client that sends too much."""

import asyncio
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame, Opcode

from gateway.peer import peer_host
from gateway.usage import Usage

LARGEST_MESSAGE_BYTES = 65_536
PING_SECONDS = 20.0
SILENCE_SECONDS = 2 * PING_SECONDS
LINGER_SECONDS = 2.0
TOO_LARGE = "pulsegate.too_large"


class WebSocket(WebSocketsSansIOProtocol):
    """One connection that was upgraded.

    A message that is too large is answered by what came under ``TOO_LARGE`` when the socket was accepted, and a
    close. What still comes after that is thrown away for a moment: closing on unread bytes would reset the
    connection, and the answer might never be read.
    """

    def __init__(self, usage: Usage, **of_uvicorn: Any) -> None:  # noqa: ANN401  handed on
        super().__init__(**of_uvicorn)
        self._usage = usage
        self._too_large = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the socket."""
        super().connection_made(transport)
        self._host = peer_host(transport)
        self._usage.open(self._host)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the socket back."""
        super().connection_lost(exc)
        self._usage.close(self._host)

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless the connection is over."""
        if not self.close_sent or self.conn.parser_exc is None:
            super().data_received(data)

    def handle_parser_exception(self) -> None:
        """Say what is wrong before the close frame that is already due."""
        closing = self.conn.close_sent
        if closing is None or closing.code != CloseCode.MESSAGE_TOO_BIG:
            super().handle_parser_exception()
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": closing.code, "reason": closing.reason})
        self.transport.write(Frame(Opcode.TEXT, self._too_large).serialize(mask=False))
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    async def send(self, message: Any) -> None:  # noqa: ANN401  uvicorn's own union of events
        """Send an event; raises ``OSError`` once the connection is over, whoever ended it."""
        if self.handshake_complete and self.close_sent:
            raise ClientDisconnected
        self._too_large = message.get(TOO_LARGE, self._too_large)
        await super().send(message)
