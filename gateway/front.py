"""The ASGI front of every listener: which façade, and whether memory, Flask or a socket answers."""

import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import structlog

from gateway.bridge import Bridge, Event, Receive, Scope, Send
from gateway.peer import is_loopback
from runtime import logs

RAW_REQUEST = "pulsegate.raw_request"  # the ASGI extension under which the listener's protocol hands it on
MOST_RAW_ANSWERS = 1024
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Site:
    """One Flask application with what the front must know to answer for it from memory."""

    name: str
    application: Bridge
    snapshot_paths: frozenset[str] = frozenset()
    snapshot_headers: frozenset[bytes] = frozenset()


@dataclass(frozen=True)
class RawAnswer:
    """An HTTP answer as it goes over the wire."""

    data: bytes
    close: bool


@dataclass
class Snapshots:
    """Answers kept while neither the monitor's version nor the second has moved.

    They are bytes the Flask view itself rendered; the front only remembers them: under what decided them, and under
    the raw request for whoever sends exactly those bytes again.
    """

    version: Callable[[], int]
    clock: Callable[[], float] = time.time
    _at: tuple[int, int] = (-1, -1)
    _answers: dict[object, list[Event]] = field(default_factory=dict)
    _raw_answers: dict[object, RawAnswer] = field(default_factory=dict)

    def get(self, key: object) -> list[Event] | None:
        """Return the answer's events if they are still true."""
        self._drop_outdated()
        return self._answers.get(key)

    def get_raw(self, request: object) -> RawAnswer | None:
        """Return the answer to the same bytes if it is still true."""
        self._drop_outdated()
        return self._raw_answers.get(request)

    def keeper(self, key: object, scope: Scope, send: Send) -> Send:
        """Pass events on to ``send`` and remember them, unless the picture changed while they were made."""
        self._drop_outdated()
        at, events = self._at, list[Event]()

        async def keep(event: Event) -> None:
            events.append(event)
            await send(event)
            whole = event["type"] == "http.response.body" and not event.get("more_body", False)
            if whole and at == self._now():
                self._answers[key] = events
                self.keep_raw(scope, events)

        return keep

    def keep_raw(self, scope: Scope, events: list[Event]) -> None:
        """Remember an answer under the bytes that asked for it, where the listener's protocol handed them on."""
        request = scope.get("extensions", {}).get(RAW_REQUEST)
        if request is not None and scope["http_version"] == "1.1" and len(self._raw_answers) < MOST_RAW_ANSWERS:
            self._raw_answers[request] = _written(events, close=_wants_close(scope))

    def _now(self) -> tuple[int, int]:
        return self.version(), int(self.clock())

    def _drop_outdated(self) -> None:
        now = self._now()
        if now != self._at:
            self._at = now
            self._answers.clear()
            self._raw_answers.clear()


class Front:
    """Sends each request where it belongs.

    The façade is picked by the listening port, which a client cannot forge; on the operator's port by path prefix.
    """

    def __init__(self, by_port: Mapping[int, Site], operator_port: int, snapshots: Snapshots) -> None:
        self._by_port = by_port
        self._operator_port = operator_port
        self._prefixes = {f"/{site.name}": site for port, site in by_port.items() if port != operator_port}
        self._snapshots = snapshots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of any listener."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        site = self._by_port[scope["server"][1]]
        if scope["server"][1] == self._operator_port:
            site, scope = self._behind_prefix(site, scope)
        key = _snapshot_key(site, scope)
        if key is None:
            await self._answer(site, scope, receive, send)
        elif answer := self._snapshots.get(key):
            for event in answer:
                await send(event)
            self._snapshots.keep_raw(scope, answer)
        else:
            await site.application(scope, receive, self._snapshots.keeper(key, scope, send))

    def _behind_prefix(self, operator: Site, scope: Scope) -> tuple[Site, Scope]:
        first = "/" + scope["path"].split("/", 2)[1]
        if first in self._prefixes and scope["raw_path"].startswith(first.encode() + b"/"):
            return self._prefixes[first], {**scope, "root_path": first}
        return operator, scope

    async def _answer(self, site: Site, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = _request_id(scope)
        structlog.contextvars.clear_contextvars()
        logs.bind_request(request_id)
        began = time.monotonic()
        status = 0

        async def note(event: Event) -> None:
            nonlocal status
            status = event.get("status", status)
            await send(event)

        try:
            await site.application(scope, receive, note)
        finally:
            fields = {"facade": site.name, "method": scope["method"], "path": scope["path"], "status": status}
            log.info("answered", extra={**fields, "seconds": round(time.monotonic() - began, 6)})


def _snapshot_key(site: Site, scope: Scope) -> tuple[Any, ...] | None:
    """Name the remembered answer this request may get; None when the view would look at something in it."""
    if scope["method"] != "GET" or scope["query_string"] or scope["path"] not in site.snapshot_paths:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["method"] != "GET" or scope["query_string"] or path not in site.snapshot_paths:
            return None
    if any(name in site.snapshot_headers or name in _BODY_HEADERS for name, _ in scope["headers"]):
        return None
    client = scope.get("client")
    return site.name, scope["raw_path"], scope["server"], bool(client and is_loopback(client[0]))


def _written(events: list[Event], *, close: bool) -> RawAnswer:
    """Write an answer down as uvicorn would."""
    start, *bodies = events
    headers = [(b"date", formatdate(usegmt=True).encode()), *start["headers"]]
    if close:
        headers.append((b"connection", b"close"))
    lines = [b"HTTP/1.1 %d %s" % (start["status"], HTTPStatus(start["status"]).phrase.encode())]
    lines += [b"%s: %s" % header for header in headers]
    body = b"".join(event.get("body", b"") for event in bodies)
    return RawAnswer(b"\r\n".join([*lines, b"", body]), close)


def _wants_close(scope: Scope) -> bool:
    return any(name == b"connection" and b"close" in value.lower() for name, value in scope["headers"])


_BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding", b"expect"})


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return uuid.uuid4().hex
