"""Symple over WebSocket: each socket is carried as one ``Signal`` stream to the media process."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import grpc

from gateway.backend import Backend, metadata
from gateway.bridge import Receive, Scope, Send
from gateway.errors import BackendError
from gateway.facades.media import origins, placement
from gateway.facades.media.access import signalling
from gateway.facades.media.payloads import MOST_SOCKETS
from gateway.peer import is_trusted, peer
from gateway.settings import GatewaySettings
from gateway.websocket import TOO_LARGE
from gen.media.v1 import media_pb2 as messages

PATIENCE_SECONDS = 15.0  # a client whose second connection fails never tries a third: let it wait for a restart

NORMAL, GOING_AWAY, TRY_AGAIN_LATER = 1000, 1001, 1013
"""WebSocket close codes."""

log = logging.getLogger(__name__)


class Signalling:
    """Every signalling socket of this gateway."""

    def __init__(
        self,
        backend: Backend[Any],
        settings: GatewaySettings,
        most: int = MOST_SOCKETS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._backend = backend
        self._most = most
        self._patience_seconds = patience_seconds
        self._listener = settings.listener("media")
        self._trusted = settings.trusted_proxies
        self._origins = settings.media_allowed_origins
        token = settings.media_token.get_secret_value().encode()
        self._token_digest = hashlib.sha256(token).digest() if token else b""
        self._carrying: set[asyncio.Task[Any]] = set()
        self._ending = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry one socket; any path will do that is nothing else's."""
        await receive()  # the request to upgrade
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if _taken(scope["path"].removeprefix(scope.get("root_path", ""))):
            await _refuse(send, 404)
        elif not self._allowed(scope, headers):
            await _refuse(send, 403)
        else:
            await send({"type": "websocket.accept", TOO_LARGE: error(413, "Message too large").encode()})
            with suppress(OSError):  # the client may leave at any moment
                await self._serve(scope, headers, receive, send)

    def end(self) -> None:
        """Tell every client that the server ends, and close."""
        self._ending = True
        for carrying in self._carrying:
            carrying.cancel()

    async def _serve(self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
        if len(self._carrying) >= self._most:
            await _dismiss(send, 503, "Server at capacity")
            return
        forwarded_for = headers.get("x-forwarded-for", "")
        opening = messages.SignalRequest.Open(
            peer_address=peer(scope["client"][0], forwarded_for, self._trusted),
            path=scope["path"],
            token_digest=self._token_digest,
        )
        try:
            with self._counted():
                await self._carry(opening, receive, send)
        except asyncio.CancelledError:
            if not self._ending:
                raise
            await send({"type": "websocket.send", "text": SHUTDOWN})
            await send({"type": "websocket.close", "code": GOING_AWAY, "reason": "shutdown"})

    @contextmanager
    def _counted(self) -> Iterator[None]:
        task = asyncio.current_task()
        if task is None or self._ending:
            raise asyncio.CancelledError
        self._carrying.add(task)
        self._backend.sockets += 1
        try:
            yield
        finally:
            self._carrying.discard(task)
            self._backend.sockets -= 1

    async def _carry(self, opening: messages.SignalRequest.Open, receive: Receive, send: Send) -> None:
        try:
            stub = await self._backend.meeting_place(self._patience_seconds, placement.meeting_places)
        except BackendError:
            await _dismiss(send, 503, "Service unavailable")
            return
        call = stub.Signal(metadata=metadata())  # no deadline: it lives as long as its socket, which pings watch over
        speaking = asyncio.create_task(_speak(call, opening, receive))
        try:
            await _listen(call, send)
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as lost:
            task = asyncio.current_task()
            if isinstance(lost, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # it is this socket that is to end, not the channel under it
            log.warning("signalling lost its backend", extra={"reason": type(lost).__name__})
            await _dismiss(send, 503, "Service unavailable")
        finally:
            speaking.cancel()
            call.cancel()
            await asyncio.gather(speaking, return_exceptions=True)

    def _allowed(self, scope: Scope, headers: dict[str, str]) -> bool:
        if "origin" not in headers:
            return True
        scheme = "https" if scope["scheme"] == "wss" else "http"
        if is_trusted(scope["client"][0], self._trusted):
            scheme = headers.get("x-forwarded-proto", scheme).split(",")[-1].strip()
        listener = (self._listener[0], scope["server"][1])
        return origins.allowed(headers["origin"], scheme, headers.get("host", ""), listener, self._origins)


def error(status: int, text: str) -> str:
    """Write the frame that tells a client what is wrong."""
    return json.dumps({"type": "error", "status": status, "message": text})


SHUTDOWN = json.dumps({"type": "event", "name": "shutdown", "subtype": "shutdown", "message": "Server shutting down"})


def _taken(path: str) -> bool:
    """Whether a path has a meaning of its own, so that no socket is opened there."""
    return path.startswith(("/api/", "/artifacts/")) or path == "/api" or signalling(path)


async def _speak(call: Any, opening: messages.SignalRequest.Open, receive: Receive) -> None:  # noqa: ANN401  grpc's own
    """Bring what the client says to the backend, and that it is gone."""
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the listening side tells what happened
        await call.write(messages.SignalRequest(open=opening))
        while (event := await receive())["type"] == "websocket.receive":
            if text := event.get("text"):
                await call.write(messages.SignalRequest(frame=text.encode()))
        await call.write(messages.SignalRequest(closed=messages.SignalRequest.Closed(code=event.get("code", NORMAL))))
        await call.done_writing()


async def _listen(call: Any, send: Send) -> None:  # noqa: ANN401  grpc's own
    """Bring what the backend says to the client, until either wants the end."""
    while (response := await call.read()) is not grpc.aio.EOF:
        if response.HasField("closing"):
            closing = response.closing
            await send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})
            return
        for frame in response.frames.frames:
            await send({"type": "websocket.send", "text": frame.decode()})


async def _dismiss(send: Send, status: int, text: str) -> None:
    await send({"type": "websocket.send", "text": error(status, text)})
    await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": text})


async def _refuse(send: Send, status: int) -> None:
    """Answer the request to upgrade by an ordinary HTTP answer with an empty body."""
    await send({"type": "websocket.http.response.start", "status": status, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b""})
