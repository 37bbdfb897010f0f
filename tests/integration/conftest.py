"""A real backend over real gRPC inside the test process, with a status document of its own."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2_grpc

from gen.converter.v1 import converter_pb2, converter_pb2_grpc
from runtime.health import Health, HealthServicer
from runtime.server import SERVER_OPTIONS
from runtime.status import StatusFeed

SERVICE = "converter.v1.ConverterService"


class Thing(converter_pb2_grpc.ConverterServiceServicer):
    """A backend whose health and status a test decides."""

    def __init__(self):
        self.health = Health(SERVICE)
        self.status = converter_pb2.ConverterStatus(version="1", started_at=Timestamp(seconds=1))
        self.feed = StatusFeed(self._document)
        self.health.on_change(self.feed.changed)
        self.calls = []
        self.cancelled = asyncio.Event()

    def _document(self):
        document = converter_pb2.ConverterStatus()
        document.CopyFrom(self.status)
        for one in self.health.report():
            document.health.add(name=one.name, serving=one.serving, last_error=one.last_error)
        return document

    def say(self, version):
        self.status.version = version
        self.feed.changed()

    async def Convert(self, request, context):
        self.calls.append(dict(context.invocation_metadata()))
        if request.category == "hang":
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        if request.category == "unknown":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such category")
        return converter_pb2.ConvertResponse(value=2 * request.value)

    async def WatchStatus(self, request, context):
        async for document in self.feed.watch():
            yield converter_pb2.WatchStatusResponse(status=document)


class HealthThatCanStick(HealthServicer):
    """The health service, whose process may stop thinking while its sockets stay open."""

    def __init__(self, health):
        super().__init__(health)
        self.stuck = False

    async def Check(self, request, context):
        if self.stuck:
            await asyncio.Event().wait()
        return await super().Check(request, context)


@asynccontextmanager
async def running(thing, address="127.0.0.1:0"):
    server = grpc.aio.server(options=SERVER_OPTIONS)
    converter_pb2_grpc.add_ConverterServiceServicer_to_server(thing, server)
    thing.health_servicer = HealthThatCanStick(thing.health)
    health_pb2_grpc.add_HealthServicer_to_server(thing.health_servicer, server)
    port = server.add_insecure_port(address)
    await thing.health.start()
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
        await thing.health.close()


@pytest.fixture
async def thing():
    return Thing()


@pytest.fixture
def serve_thing():
    return running
