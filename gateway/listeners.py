"""The sockets of the gateway, all served by one uvicorn on one loop."""

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import uvicorn

from gateway.front import Front
from gateway.limits import Usage
from gateway.protocol import Doorstep
from gateway.snapshots import Snapshots
from runtime.server import exit_on_bind_failure

BACKLOG = 1024


class Listeners(uvicorn.Server):
    """uvicorn with the protocol that looks into the snapshots, and without its own idea of signals."""

    def __init__(self, front: Front, snapshots: Snapshots, usage: Usage, grace_seconds: float) -> None:
        super().__init__(
            uvicorn.Config(
                front,
                http=partial(Doorstep, snapshots, usage),  # type: ignore[arg-type]  # called like a class
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

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the gateway drains first."""
        yield


def allow_descriptors() -> None:
    """Take as many descriptors as the system lets us: its default of 1024 is fewer sockets than our limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


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
