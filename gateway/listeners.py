"""The sockets of the gateway, all served by one uvicorn on one loop."""

import asyncio
import logging
import resource
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import uvicorn

from gateway.front import Front
from gateway.protocol import Doorstep
from gateway.settings import GatewaySettings
from gateway.snapshots import Snapshots
from gateway.usage import STANDING_ROOM, Usage
from gateway.websocket import LARGEST_MESSAGE_BYTES, PING_SECONDS, SILENCE_SECONDS, WebSocket
from runtime.server import exit_on_bind_failure
from runtime.settings import USAGE_EXIT
from runtime.tls import CertificateFiles

BACKLOG = 1024
HANDSHAKE_SECONDS = 5.0
OWN_DESCRIPTORS = 512  # listeners, backends, files

log = logging.getLogger(__name__)


class Listeners(uvicorn.Server):
    """uvicorn with the protocol that looks into the snapshots, TLS by port, and without its own idea of signals."""

    def __init__(
        self,
        front: Front,
        snapshots: Snapshots,
        usage: Usage,
        grace_seconds: float,
        contexts: Mapping[int, ssl.SSLContext] | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                front,
                ws=partial(WebSocket, usage),  # type: ignore[arg-type]  # called like a class
                ws_max_size=LARGEST_MESSAGE_BYTES,
                ws_ping_interval=PING_SECONDS,
                ws_ping_timeout=SILENCE_SECONDS,
                ws_per_message_deflate=False,  # no client asks for it, and it costs memory per socket
                lifespan="off",
                proxy_headers=False,
                server_header=False,
                log_config=None,
                log_level="warning",
                access_log=False,
                backlog=BACKLOG,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=round(grace_seconds),
            )
        )

        self._contexts = contexts or {}
        self._doorstep = partial(Doorstep, snapshots, usage)

    async def startup(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Listen on every socket, with TLS where its port has a context; uvicorn would have one for all."""
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        self.servers = []

        def protocol() -> Doorstep:
            return self._doorstep(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

        for bound in sockets or ():
            context = self._contexts.get(bound.getsockname()[1])
            seconds = HANDSHAKE_SECONDS if context else None
            self.servers.append(
                await loop.create_server(
                    protocol, sock=bound, backlog=BACKLOG, ssl=context, ssl_handshake_timeout=seconds
                )
            )
        self.started = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the gateway drains first."""
        yield


def allow_sockets(count: int) -> None:
    """Be allowed the descriptors of so many clients, as far as the system permits: its default of 1024 is too few.

    Not more than that: monitoring tells by this number when descriptors run out.
    """
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + STANDING_ROOM + OWN_DESCRIPTORS
    if now != resource.RLIM_INFINITY and now < wanted:
        allowed = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
        if allowed < wanted:
            log.warning("fewer descriptors than sockets are allowed", extra={"allowed": allowed, "sockets": count})


def read_certificate(name: str, settings: GatewaySettings) -> tuple[CertificateFiles, ssl.SSLContext] | None:
    """Find the certificate of a port, if it has one; what cannot be used is one line and exit code 2."""
    try:
        files = settings.tls(name)
        return (files, files.http_context()) if files else None
    except (OSError, ValueError) as error:
        print(f"Error: certificate of the {name} port: {error}", file=sys.stderr)  # noqa: T201  for a person at a terminal
        raise SystemExit(USAGE_EXIT) from None


def bind(name: str, host: str, port: int) -> socket.socket:
    """Take a port for a façade; a taken one is one line and exit code 4."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # whoever reads that we listen may connect at once
    except OSError as error:
        listener.close()
        raise exit_on_bind_failure(f"the {name} port", f"{host}:{port}", error) from None
    return listener
