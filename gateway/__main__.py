"""Run the gateway: settings, monitor, one Flask application per façade, four listeners on one loop."""

import asyncio
import logging
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version

import prometheus_client
import uvloop
from flask import Flask

from gateway import bridge, ccproxy, icey
from gateway.app import create_app
from gateway.backend import Backend
from gateway.bridge import Application, Bridge
from gateway.facade import Facade, Sockets
from gateway.facades import FACADES, operator
from gateway.front import Front, Site
from gateway.history import History
from gateway.listeners import Listeners, allow_sockets, bind, read_certificate
from gateway.metrics import Backends, Metrics
from gateway.monitor import Monitor, Watched
from gateway.overview import Exposed, Overview
from gateway.settings import GatewaySettings
from gateway.snapshots import Snapshots
from gateway.traced import Traced
from gateway.usage import Usage
from runtime import expiry, traces
from runtime.server import stop_signal
from runtime.settings import load
from runtime.tls import CertificateFiles

# Between two events to an operator's page: it notices a gateway that went silent, and a flapping backend costs little.
LONGEST_SILENCE_SECONDS, SHORTEST_SILENCE_SECONDS = 2.0, 0.2

log = logging.getLogger("gateway")


async def run(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT: say not ready, wait, close the listeners, let running answers end, exit."""
    stopping = stop_signal()
    loop = asyncio.get_running_loop()
    allow_sockets(settings.max_sockets)
    names = [*(one.name for one in FACADES), "operator"]
    certificates = {name: found for name in names if (found := read_certificate(name, settings))}
    sockets = {name: bind(name, *settings.listener(name)) for name in names}
    ports = {name: bound.getsockname()[1] for name, bound in sockets.items()}
    async with AsyncExitStack() as resources:
        resources.push_async_callback(asyncio.to_thread, traces.start("gateway"))
        for files, context in certificates.values():
            renewing = asyncio.create_task(files.follow(context))
            resources.callback(renewing.cancel)
        monitor = Monitor(
            [Watched(one.name, settings.target(one.name), one.components, one.watch_status) for one in FACADES],
            settings.freshness_seconds,
            certificates=settings.certificates,
        )
        history = History()
        monitor.on_change(history.observe)
        monitor.start()
        resources.push_async_callback(monitor.close)

        sites, exposed = {}, []
        for facade in FACADES:
            target = settings.target(facade.name)
            backend = Backend(facade.name, target, facade.stub, monitor, settings.certificates)
            resources.push_async_callback(backend.close)
            if settings.certificates:
                following = asyncio.create_task(backend.follow(settings.certificates))
                resources.callback(following.cancel)
            app = create_app(
                facade.name,
                facade.create_blueprint(backend, settings),
                facade.error_response,
                settings.max_body(facade.name),
            )
            sockets_of = facade.create_sockets(backend, settings) if facade.create_sockets else None
            sites[ports[facade.name]] = _site(facade, app, settings, sockets_of)
            exposed.append(_exposed(facade, app, settings, ports[facade.name]))

        snapshots = Snapshots(lambda: monitor.version)
        usage = Usage(settings.limits, settings.trusted_proxies)
        metrics = Metrics(prometheus_client.REGISTRY)
        _export(
            Backends(monitor, snapshots, usage), {name: files for name, (files, _) in certificates.items()}, settings
        )
        resources.callback(asyncio.create_task(metrics.watch_loop()).cancel)
        pages = operator.create_blueprint(
            Overview(
                monitor,
                history,
                exposed,
                partial(_count_answers, metrics, snapshots, ports),
                version("pulsegate"),
                datetime.now(UTC),
            ),
            stopping.is_set,
            lambda: bridge.iterate(monitor.changes(LONGEST_SILENCE_SECONDS, SHORTEST_SILENCE_SECONDS), loop),
            settings.operator_token.get_secret_value().encode(),
            open_metrics=settings.open_metrics,
        )
        app = create_app("operator", pages, operator.error_response, settings.max_body_bytes)
        sites[ports["operator"]] = Site("operator", Bridge(app, settings.max_body_bytes, settings.body_seconds))

        front = Front(sites, ports["operator"], snapshots, metrics, usage)
        by_port = {ports[name]: context for name, (_, context) in certificates.items()}
        listeners = Listeners(front, snapshots, usage, settings.grace_seconds, by_port)
        serving = asyncio.create_task(listeners.serve(sockets=list(sockets.values())))
        log.info("listening", extra={"ports": ports})
        await stopping.wait()
        log.info("draining", extra={"seconds": settings.drain_seconds})
        await asyncio.sleep(settings.drain_seconds)
        monitor.end_changes()
        for site in sites.values():
            if site.sockets:
                site.sockets.end()
        listeners.should_exit = True
        await serving
    log.info("stopped")


def _export(backends: Backends, certificates: Mapping[str, CertificateFiles], settings: GatewaySettings) -> None:
    """Tell Prometheus of the backends, and when the certificates of the listeners and of gRPC end."""
    prometheus_client.REGISTRY.register(backends)
    expiry.export({**certificates, **({"grpc": settings.certificates} if settings.certificates else {})})


def _site(facade: Facade, app: Flask, settings: GatewaySettings, sockets: Sockets | None) -> Site:
    """Tell the front what it must know of a façade."""
    headers = frozenset(name.encode() for name in facade.snapshot_headers)
    application: Application = Bridge(app, settings.max_body(facade.name), settings.body_seconds)
    if traces.on():
        application = Traced(application, facade.name, facade.snapshot_paths)
    return Site(facade.name, application, facade.snapshot_paths, headers, sockets)


def _count_answers(metrics: Metrics, snapshots: Snapshots, ports: Mapping[str, int], name: str) -> tuple[int, int]:
    """Tell how many answers a façade gave, probes among them, and how many others were server errors."""
    total, failed = metrics.answers(name)
    return total + snapshots.hits[ports[name]] + snapshots.renderings[ports[name]], failed


def _exposed(facade: Facade, app: Flask, settings: GatewaySettings, port: int) -> Exposed:
    """Tell the operator's pages what they show of a façade."""
    return Exposed(
        facade.name,
        facade.service,
        settings.target(facade.name),
        settings.scheme(facade.name),
        (settings.listener(facade.name)[0], port),
        sorted(facade.snapshot_paths),
        app,
        facade.facts,
    )


if __name__ == "__main__":
    uvloop.run(run(icey.lay_under(ccproxy.lay_under(load(GatewaySettings, sys.argv[1:])))))
