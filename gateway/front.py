"""The ASGI front of every listener: which façade, and whether memory, Flask or a socket answers."""

import itertools
import logging
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.bridge import REFUSED, ROUTE, Application, Event, Receive, Scope, Send
from gateway.facade import Sockets
from gateway.metrics import Metrics
from gateway.snapshots import Snapshots, key_of
from gateway.usage import Usage
from runtime import logs

CLIENT_LEFT = 499  # told to nobody: the client has gone before an answer began
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Site:
    """One Flask application with what the front must know to answer for it from memory."""

    name: str
    application: Application
    snapshot_paths: frozenset[str] = frozenset()
    snapshot_headers: frozenset[bytes] = frozenset()
    sockets: Sockets | None = None


class Front:
    """Sends each request where it belongs.

    The façade is picked by the listening port, which a client cannot forge; on the operator's port by path prefix.
    """

    def __init__(
        self, by_port: Mapping[int, Site], operator_port: int, snapshots: Snapshots, metrics: Metrics, usage: Usage
    ) -> None:
        self._by_port = by_port
        self._operator_port = operator_port
        self._operator = by_port.get(operator_port)
        self._prefixes = {f"/{site.name}": site for port, site in by_port.items() if port != operator_port}
        self._snapshots = snapshots
        self._metrics = metrics
        self._usage = usage
        self._answering = {site.name: metrics.answering(site.name) for site in by_port.values()}
        self._request_ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of any listener."""
        site = self._by_port[scope["server"][1]]
        if scope["server"][1] == self._operator_port:
            site, scope = self._behind_prefix(site, scope)
        if scope["type"] == "websocket":
            await self._carry(site, scope, receive, send)
            return
        key = key_of(scope, site.snapshot_paths, site.snapshot_headers)
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

    def _limited(self, site: Site, scope: Scope) -> bool:
        """Tell whether limits count: not for probes, nor for an operator, who has to see what goes on."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return site is not self._operator and path not in site.snapshot_paths

    async def _carry(self, site: Site, scope: Scope, receive: Receive, send: Send) -> None:
        if site.sockets is None:
            await send({"type": "websocket.close", "code": 1000})  # before it is accepted: 403
            return
        logs.request_id.set(self._request_ids.name(scope))
        began = time.monotonic()
        with self._metrics.carrying(site.name):
            try:
                await site.sockets(scope, receive, send)
            finally:
                seconds = round(time.monotonic() - began, 3)
                log.info("socket ended", extra={"facade": site.name, "seconds": seconds})

    async def _answer(self, site: Site, scope: Scope, receive: Receive, send: Send) -> None:
        logs.request_id.set(self._request_ids.name(scope))
        began = time.monotonic()
        status = CLIENT_LEFT

        async def note(event: Event) -> None:
            nonlocal status
            status = event.get("status", status)
            await send(event)

        if REFUSED not in scope and self._limited(site, scope) and (error := self._usage.refusal(scope)):
            scope[REFUSED] = error
        with self._usage, self._answering[site.name]:
            try:
                await site.application(scope, receive, note)
            finally:
                seconds = time.monotonic() - began
                route = scope.get(ROUTE, "")  # never the path: a session's address in it is a credential
                self._metrics.answered(site.name, route, status, seconds)
                log.info(
                    "answered",
                    extra={
                        "facade": site.name,
                        "method": scope["method"],
                        "route": route,
                        "status": status,
                        "seconds": round(seconds, 6),
                    },
                )


class RequestIds:
    """Names requests: by what the client says, or by a count behind a random word, which costs no system call each."""

    def __init__(self) -> None:
        self._process = secrets.token_hex(6)
        self._count = itertools.count(1)

    def name(self, scope: Scope) -> str:
        """Return the id of one request."""
        for name, value in scope["headers"]:
            if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
                return str(value, "ascii")
        return f"{self._process}-{next(self._count):x}"
