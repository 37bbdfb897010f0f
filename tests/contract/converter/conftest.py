"""The converter's REST as clients meet it: the gateway's own parts over HTTP, a real gRPC backend behind them."""

import asyncio
import json
import socket
import threading
from concurrent.futures import Future
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from importlib import resources

import grpc
import pytest
import uvicorn
import uvloop
from grpc_health.v1 import health_pb2_grpc

from gateway.app import create_app
from gateway.backend import Backend
from gateway.bridge import Bridge
from gateway.facades import converter
from gateway.front import Front, Site, Snapshots
from gateway.monitor import Monitor, Watched
from gateway.settings import GatewaySettings
from gen.converter.v1 import converter_pb2_grpc
from runtime.health import Health, HealthServicer
from runtime.status import StatusFeed
from services.converter import catalogue, status
from services.converter.embedded import Embedded
from services.converter.servicer import ConverterServicer


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        def refuse(constant):
            raise ValueError(f"{constant} is not JSON")

        return json.loads(self.body, parse_constant=refuse)


class HangingServicer(ConverterServicer):
    """A converter that never answers a batch with the category ``hang`` in it."""

    async def ConvertBatch(self, request, context):
        if any(conversion.category == "hang" for conversion in request.conversions):
            await asyncio.Event().wait()
        return await super().ConvertBatch(request, context)


class Rest:
    """The converter façade on a port, in a loop on a thread of its own; a test decides whether Ice serves."""

    def __init__(self):
        self._ready = Future()
        self._thread = threading.Thread(target=uvloop.run, args=(self._run(),), name="gateway")
        self._thread.start()
        port = self._ready.result(30)
        self.url = f"http://127.0.0.1:{port}/"
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)

    def send(self, method, path, headers=(), body=None):
        self._connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in dict(headers).items():
            self._connection.putheader(name, value)
        if body is not None:
            self._connection.putheader("Content-Length", str(len(body)))
        try:
            self._connection.endheaders(body)
            response = self._connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        except OSError:
            self._connection.close()  # the next request, of another test, finds a new one
            raise

    def convert(self, document, content_type="application/json"):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.send("POST", "/api/convert", {"Content-Type": content_type}, body)

    def connect(self, *, connected):
        """Let Ice serve or not, and wait until the gateway knows."""
        asyncio.run_coroutine_threadsafe(self._connect(connected), self._loop).result(30)

    def close(self):
        self._connection.close()
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(30)

    async def _connect(self, connected):
        self._health.set(status.ICE, serving=connected, required=True)
        while self._backend.picture.serving() != connected:
            await asyncio.sleep(0.005)

    async def _run(self):
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        async with AsyncExitStack() as stack:
            address = await self._serve_backend(stack)
            facade, settings = converter.FACADE, GatewaySettings(converter_target=address)
            monitor = Monitor([Watched(facade.name, address, facade.components, facade.watch_status)])
            monitor.start()
            stack.push_async_callback(monitor.close)
            self._backend = Backend(facade.name, address, facade.stub, monitor)
            stack.push_async_callback(self._backend.close)
            app = create_app(
                facade.name,
                facade.create_blueprint(self._backend, settings),
                facade.error_response,
                settings.max_body_bytes,
            )
            site = Site(facade.name, Bridge(app, settings.max_body_bytes), facade.snapshot_paths)
            listener = socket.create_server(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            front = Front({port: site}, 0, Snapshots(lambda: monitor.version))
            server = uvicorn.Server(
                uvicorn.Config(front, http="httptools", lifespan="off", log_config=None, access_log=False)
            )
            serving = asyncio.create_task(server._serve([listener]))
            await self._connect(connected=True)
            self._ready.set_result(port)
            await self._stopping.wait()
            server.should_exit = True
            await serving

    async def _serve_backend(self, stack):
        health = self._health = Health("converter.v1.ConverterService")
        feed = StatusFeed(
            lambda: status.document(health, version="0", started_at=datetime.now(UTC), ice_address="localhost:10000")
        )
        known = catalogue.read((resources.files("services.converter") / "quantities.toml").read_text("utf-8"))
        server = grpc.aio.server()
        converter_pb2_grpc.add_ConverterServiceServicer_to_server(HangingServicer(Embedded(), known, feed), server)
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(health), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await health.start()
        await server.start()
        stack.push_async_callback(server.stop, None)
        stack.push_async_callback(health.close)
        stack.callback(feed.close)
        return f"127.0.0.1:{port}"


@pytest.fixture(scope="session")
def _rest():
    rest = Rest()
    yield rest
    rest.close()


@pytest.fixture
def rest(_rest):
    """The converter's REST, its backend serving."""
    _rest.connect(connected=True)
    return _rest
