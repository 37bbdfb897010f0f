"""What the gateway must know of one documented REST API."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from flask import Blueprint, Response

from gateway.backend import Backend
from gateway.monitor import WatchStatus
from gateway.settings import GatewaySettings


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
