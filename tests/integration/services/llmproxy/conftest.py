"""A scripted provider on a real socket, and the servicer over real gRPC in the test's own process."""

import asyncio
import socket
import struct
import zlib
from contextlib import asynccontextmanager

import aiohttp
import grpc
import pytest
import uvicorn
from aiohttp import web
from grpc_health.v1 import health_pb2_grpc
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from gateway.app import create_app
from gateway.backend import Backend
from gateway.bridge import Bridge
from gateway.facades.llmproxy import FACADE
from gateway.front import Front, Site
from gateway.metrics import Metrics
from gateway.monitor import Monitor, Watched
from gateway.settings import GatewaySettings
from gateway.snapshots import Snapshots
from gateway.usage import Usage
from gen.llmproxy.v1 import llmproxy_pb2, llmproxy_pb2_grpc
from runtime.health import Health, HealthServicer
from runtime.server import SERVER_OPTIONS
from services.llmproxy.answers import Resources
from services.llmproxy.budget import Budgets
from services.llmproxy.build import Build
from services.llmproxy.catalog import Catalog
from services.llmproxy.configuration import Configuration, ProviderConfiguration
from services.llmproxy.embedded import EngineSettings
from services.llmproxy.ledger import Ledger, Pace
from services.llmproxy.registry import Registry
from services.llmproxy.servicer import SERVICE, LlmProxyServicer
from services.llmproxy.store import Store
from services.llmproxy.traffic import Traffic
from services.llmproxy.upstream import Limits
from services.llmproxy.usage_file import UsageFile

KEY = "sk-planted-0123456789abcdef"


class Upstream:
    """A provider that does what the test says and remembers what it was asked."""

    def __init__(self):
        self.requests = []
        self.closed = asyncio.Event()
        self.written = 0
        self.script = None

    async def handle(self, request):
        self.requests.append((request.method, request.path_qs, dict(request.headers), await request.read()))
        try:
            return await self.script(request)
        except (asyncio.CancelledError, ConnectionError):
            self.closed.set()
            raise

    def answer(self, status, body, headers=None, content_type="application/json"):
        async def script(request):
            return web.Response(status=status, body=body, headers=headers, content_type=content_type)

        self.script = script

    def stream(self, *chunks, then=None, headers=None, content_type="text/event-stream"):
        async def script(request):
            response = web.StreamResponse(headers={"Content-Type": content_type, **(headers or {})})
            await response.prepare(request)
            for chunk in chunks:
                await response.write(chunk)
                self.written += len(chunk)
                await asyncio.sleep(0)
            if then is not None:
                await then(request, response)
            return response

        self.script = script


def aws_frame(payload, kind="event", **named):
    """One message of an AWS event stream; ``named`` is its event, exception or error type."""
    told = {f":{key.replace('_', '-')}": value for key, value in {"message_type": kind, **named}.items()}
    headers = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
        for name, value in told.items()
    )
    prelude = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    start = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return start + struct.pack(">I", zlib.crc32(start))


@pytest.fixture
def frame():
    return aws_frame


@pytest.fixture
async def upstream():
    upstream = Upstream()
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_route("*", "/{path:.*}", upstream.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    upstream.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    yield upstream
    await runner.cleanup()


class Call:
    """One call, event by event, however many came at once."""

    def __init__(self, call):
        self._call = call
        self._events = self._each()
        self.cancel = call.cancel

    def __aiter__(self):
        return self._events

    async def _each(self):
        async for answer in self._call:
            yield answer
            for event in answer.more:
                yield llmproxy_pb2.CreateMessageResponse(event=event.event, data=event.data)


class Proxy:
    """The backend as a client sees it, with its inner parts at hand."""

    def __init__(self, address, stub, servicer, registry, health, server):
        self.server = server
        self.stopped = False
        self.address = address
        self.stub = stub
        self.servicer = servicer
        self.registry = registry
        self.catalog = registry.catalog
        self.health = health

    async def stop(self):
        """Stop at once, as a process that dies does to its calls."""
        self.health.drain()
        await self.health.close()
        await self.server.stop(None)
        self.stopped = True

    def ask(self, body, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = llmproxy_pb2.CreateMessageRequest(body=body, headers=named)
        return Call(self.stub.CreateMessage(request, timeout=60))

    async def answers(self, body, **headers):
        return [answer async for answer in self.ask(body, **headers)]


class Fixed(Registry):
    """A registry of a configuration that a test made without a file."""

    def __init__(self, configuration, resources, health):
        self.configuration = configuration
        self.catalog = Catalog(configuration, resources, health)


@asynccontextmanager
async def running(
    *providers,
    limits=None,
    engine=None,
    queue_limit=16,
    ping_seconds=12.0,
    routes=None,
    path=None,
    environment=None,
    retries=0,
    requests_per_minute=0,
    proxies=None,
    usage_folder=None,
    budgets=None,
):
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        health = Health(SERVICE)
        resources = Resources(
            session,
            limits or Limits(1.0, 10.0, 10.0),
            engine or EngineSettings(None),
            queue_limit=queue_limit,
            retries=retries,
            proxies=proxies or {},
        )
        if path:

            def catalog_of(configuration):
                return Catalog(configuration, resources, health)

            registry = Registry(Store(path), environment or {}, catalog_of, health, CollectorRegistry())
        else:
            registry = Fixed(
                Configuration(providers, routes or {}, requests_per_minute=requests_per_minute), resources, health
            )
        metrics = CollectorRegistry()
        ledger = Ledger(lambda: UsageFile(usage_folder, 31), budgets or Budgets(), health, metrics, Pace(0.01, 0.05))
        traffic = Traffic(metrics, ledger)
        for record in await ledger.start():
            traffic.minutes.add(record)
        servicer = LlmProxyServicer(registry, health, traffic, Build("1"), ping_seconds)
        registry.catalog.on_change(servicer.feed.changed)
        server = grpc.aio.server(options=SERVER_OPTIONS)
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(health), server)
        llmproxy_pb2_grpc.add_LlmProxyServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await health.start()
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub = llmproxy_pb2_grpc.LlmProxyServiceStub(channel)
                proxy = Proxy(f"127.0.0.1:{port}", stub, servicer, registry, health, server)
                proxy.metrics = metrics
                yield proxy
        finally:
            servicer.feed.close()
            await health.close()
            await server.stop(None)
            await registry.catalog.close()
            await ledger.close()


@asynccontextmanager
async def serving_gateway(address, until, **settings):
    """Serve the façade on a port as the gateway does."""
    settings = GatewaySettings(**settings)
    monitor = Monitor([Watched(FACADE.name, address, FACADE.components, FACADE.watch_status)])
    monitor.start()
    backend = Backend(FACADE.name, address, FACADE.stub, monitor)
    app = create_app(
        FACADE.name, FACADE.create_blueprint(backend, settings), FACADE.error_response, settings.max_body(FACADE.name)
    )
    headers = frozenset(name.encode() for name in FACADE.snapshot_headers)
    site = Site(FACADE.name, Bridge(app, settings.max_body(FACADE.name)), FACADE.snapshot_paths, headers)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    front = Front({port: site}, 0, Snapshots(lambda: monitor.version), Metrics(CollectorRegistry()), Usage())
    server = uvicorn.Server(uvicorn.Config(front, http="httptools", lifespan="off", log_config=None, access_log=False))
    serving = asyncio.create_task(server._serve([listener]))
    try:
        await until(lambda: server.started and backend.picture.serving())
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving
        await backend.close()
        await monitor.close()


@pytest.fixture
def gateway():
    return serving_gateway


@pytest.fixture
def serve():
    return running


@pytest.fixture
def anthropic(upstream):
    return ProviderConfiguration("anthropic", "anthropic", upstream.url, SecretStr(KEY))


@pytest.fixture
async def proxy(anthropic):
    async with running(anthropic) as proxy:
        yield proxy
