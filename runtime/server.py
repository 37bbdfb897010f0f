"""The life of a backend process: first verdict, listen, drain on a signal, stop."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable

import grpc
import prometheus_client
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from runtime import expiry, traced_rpc, traces
from runtime.health import Health, HealthServicer
from runtime.requests import RequestIdInterceptor
from runtime.settings import BackendSettings
from runtime.tls import CertificateFiles

BIND_EXIT = 4
NO_METRICS = ("", "off")

# A frozen gateway or backend is found by pings every second; a server must permit them.
# Measured: without so_reuseport=0 a second process binds the same port silently.
SERVER_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 500),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_concurrent_streams", 2000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
)

log = logging.getLogger(__name__)

Register = Callable[[grpc.aio.Server], str]
"""Adds a servicer to the server and returns its full service name."""


async def serve(
    settings: BackendSettings,
    health: Health,
    register: Register,
    *,
    on_drain: Callable[[], None] = lambda: None,
    on_stop: Callable[[], None] = lambda: None,
) -> None:
    """Serve gRPC, health, reflection and metrics until SIGTERM or SIGINT, then leave without losing a call.

    The order of leaving: readiness says NOT_SERVING and ``on_drain`` runs, ``drain_seconds`` pass, ``on_stop`` ends
    what streams, running calls get ``grace_seconds``. A second signal exits at once. A taken port is one line on
    stderr and exit code 4.
    """
    stopping = stop_signal()
    end_traces = traces.start(settings.process)
    interceptors = (RequestIdInterceptor(), *traced_rpc.server_interceptors())
    server = grpc.aio.server(options=SERVER_OPTIONS, interceptors=interceptors)
    services = [register(server), health_pb2.DESCRIPTOR.services_by_name["Health"].full_name]
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(health), server)
    reflection.enable_server_reflection([*services, reflection.SERVICE_NAME], server)
    expiry.export({"grpc": settings.certificates} if settings.certificates else {})
    _export_metrics(settings.metrics_address, health)
    await health.start()
    port = _bind(server, settings.address, settings.certificates)
    await server.start()
    log.info("listening", extra={"address": f"{settings.address.rpartition(':')[0]}:{port}", "services": services})
    await stopping.wait()
    log.info("draining", extra={"seconds": settings.drain_seconds})
    health.drain()
    on_drain()
    await asyncio.sleep(settings.drain_seconds)
    on_stop()
    await health.close()
    await server.stop(settings.grace_seconds)
    await asyncio.to_thread(end_traces)
    log.info("stopped")


def exit_on_bind_failure(what: str, address: str, error: Exception) -> SystemExit:
    """Say in one line which address could not be had; the caller raises what is returned."""
    print(f"Error: cannot bind {what} on {address}: {error}", file=sys.stderr)  # noqa: T201  for a person at a terminal
    return SystemExit(BIND_EXIT)


def stop_signal() -> asyncio.Event:
    """Return what SIGTERM and SIGINT set; a second signal exits the process at once."""
    stopping = asyncio.Event()

    def on_signal() -> None:
        if stopping.is_set():
            os._exit(1)  # asked twice: now
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stopping


def _bind(server: grpc.aio.Server, address: str, certificates: CertificateFiles | None) -> int:
    try:
        host, _, port = address.rpartition(":")
        with socket.create_server((host.strip("[]"), int(port)), family=_family(host)):
            pass  # asked first because gRPC says why only in its own log, in its own format
        if certificates:
            return server.add_secure_port(address, certificates.server_credentials())
        return server.add_insecure_port(address)
    except (OSError, ValueError, RuntimeError) as error:
        raise exit_on_bind_failure("gRPC", address, error) from None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _export_metrics(address: str, health: Health) -> None:
    serving = prometheus_client.Gauge("pulsegate_health_serving", "1 while a health name is SERVING", ["name"])

    def follow() -> None:
        for component in health.report():
            serving.labels(component.name).set(component.serving)

    health.on_change(follow)
    follow()
    if address not in NO_METRICS:
        host, _, port = address.rpartition(":")
        try:
            prometheus_client.start_http_server(int(port), host)
        except OSError as error:
            raise exit_on_bind_failure("metrics", address, error) from None
