"""What the gateway must know of one documented REST API."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
from flask import Blueprint, Response

from gateway.backend import Backend
from gateway.bridge import Receive, Scope, Send
from gateway.monitor import WatchStatus
from gateway.settings import GatewaySettings


class Sockets(Protocol):
    """The WebSockets of a façade: Flask decides nothing here, so each is a coroutine on the loop."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket from the request to upgrade until it is closed."""
        ...

    def end(self) -> None:
        """Let every socket come to its end: the gateway stops."""
        ...


@dataclass(frozen=True)
class Facade:
    """One documented REST API.

    ``snapshot_paths`` name the GET answers that depend on nothing but the monitor's picture, the second, whether the
    peer is loopback, and the headers in ``snapshot_headers``; only requests without those are answered from memory.
    ``facts`` tells an operator in a few words what a status document says beyond health.
    """

    name: str
    service: str
    stub: Callable[[grpc.aio.Channel], Any]
    watch_status: WatchStatus
    components: tuple[str, ...]
    create_blueprint: Callable[[Backend[Any], GatewaySettings], Blueprint]
    error_response: Callable[[int, Exception], Response]
    snapshot_paths: frozenset[str] = frozenset()
    snapshot_headers: frozenset[str] = frozenset()
    facts: Callable[[Any], Mapping[str, str]] = field(default=lambda _status: {})
    create_sockets: Callable[[Backend[Any], GatewaySettings], Sockets] | None = None
