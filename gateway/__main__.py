"""Run the gateway: settings, monitor, one Flask application per façade, four listeners on one loop."""

import asyncio
import logging
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version

import prometheus_client
import uvicorn
import uvloop

from gateway import bridge, ccproxy, icey
from gateway.app import create_app
from gateway.backend import Backend
from gateway.bridge import Bridge
from gateway.facades import FACADES, operator
from gateway.front import Front, Site
from gateway.history import History
from gateway.metrics import Backends, Metrics
from gateway.monitor import Monitor, Watched
from gateway.overview import Exposed, Overview
from gateway.protocol import SnapshotProtocol
from gateway.settings import GatewaySettings
from gateway.snapshots import Snapshots
from runtime.server import exit_on_bind_failure, stop_signal
from runtime.settings import load

# Between two events to an operator's page: it notices a gateway that went silent, and a flapping backend costs little.
LONGEST_SILENCE_SECONDS, SHORTEST_SILENCE_SECONDS = 2.0, 0.2

log = logging.getLogger("gateway")


class Listeners(uvicorn.Server):
    """uvicorn without its own idea of signals: the gateway drains first."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


async def run(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT: say not ready, wait, close the listeners, let running answers end, exit."""
    stopping = stop_signal()
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as resources:
        monitor = Monitor(
            [Watched(one.name, settings.target(one.name), one.components, one.watch_status) for one in FACADES],
            settings.freshness_seconds,
        )
        sockets = {name: _listen(name, *settings.listener(name)) for name in [*(f.name for f in FACADES), "operator"]}
        ports = {name: bound.getsockname()[1] for name, bound in sockets.items()}
        monitor.start()
        resources.push_async_callback(monitor.close)
        snapshots = Snapshots(lambda: monitor.version)
        metrics = Metrics(prometheus_client.REGISTRY)
        history = History()
        monitor.on_change(history.observe)
        sites = {}
        exposed = []
        for facade in FACADES:
            backend = Backend(facade.name, settings.target(facade.name), facade.stub, monitor)
            resources.push_async_callback(backend.close)
            app = create_app(
                facade.name, facade.create_blueprint(backend, settings), facade.error_response, settings.max_body_bytes
            )
            sites[ports[facade.name]] = Site(
                facade.name,
                Bridge(app, settings.max_body_bytes),
                facade.snapshot_paths,
                frozenset(name.encode() for name in facade.snapshot_headers),
            )
            exposed.append(
                Exposed(
                    facade.name,
                    facade.service,
                    settings.target(facade.name),
                    (settings.listener(facade.name)[0], ports[facade.name]),
                    sorted(facade.snapshot_paths),
                    app,
                    facade.facts,
                )
            )
        pages = operator.create_blueprint(
            Overview(monitor, history, exposed, metrics.answers, version("pulsegate"), datetime.now(UTC)),
            stopping.is_set,
            lambda: bridge.iterate(monitor.changes(LONGEST_SILENCE_SECONDS, SHORTEST_SILENCE_SECONDS), loop),
        )
        app = create_app("operator", pages, operator.error_response, settings.max_body_bytes)
        sites[ports["operator"]] = Site("operator", Bridge(app, settings.max_body_bytes))
        prometheus_client.REGISTRY.register(Backends(monitor, snapshots))
        lag = asyncio.create_task(metrics.watch_loop())
        resources.callback(lag.cancel)
        front = Front(sites, ports["operator"], snapshots, metrics)
        listeners = Listeners(
            uvicorn.Config(
                front,
                http=partial(SnapshotProtocol, snapshots),  # type: ignore[arg-type]  # called like a class
                lifespan="off",
                proxy_headers=False,
                server_header=False,
                log_config=None,
                log_level="warning",
                access_log=False,
                backlog=1024,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=round(settings.grace_seconds),
            )
        )
        serving = asyncio.create_task(listeners.serve(sockets=list(sockets.values())))
        log.info("listening", extra={"ports": ports})
        await stopping.wait()
        log.info("draining", extra={"seconds": settings.drain_seconds})
        await asyncio.sleep(settings.drain_seconds)
        monitor.end_changes()
        listeners.should_exit = True
        await serving
    log.info("stopped")


def _listen(name: str, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise exit_on_bind_failure(f"the {name} port", f"{host}:{port}", error) from None
    return listener


if __name__ == "__main__":
    uvloop.run(run(icey.lay_under(ccproxy.lay_under(load(GatewaySettings, sys.argv[1:])))))
