"""Run the converter: settings, Ice, health, gRPC."""

import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from importlib import resources
from importlib.metadata import version

import grpc
import uvloop

from gen.converter.v1 import converter_pb2, converter_pb2_grpc
from runtime import server, settings
from runtime.health import Health, Probe
from runtime.status import StatusFeed
from services.converter import catalogue, status
from services.converter.bridge import Bridge
from services.converter.embedded import Embedded
from services.converter.ice import IceClient, IceServer
from services.converter.servicer import ConverterServicer
from services.converter.settings import ConverterSettings

SERVICE = converter_pb2.DESCRIPTOR.services_by_name["ConverterService"].full_name


async def main(told: ConverterSettings) -> None:
    """Have Ice first, so that health knows the truth about it before gRPC listens."""
    started_at = datetime.now(UTC)
    async with AsyncExitStack() as stack:
        client = await _client(told, stack)
        health = Health(SERVICE, [Probe(status.ICE, client.probe, interval_seconds=0.5)])
        client.on_lost = lambda: health.probe_now(status.ICE)
        feed = StatusFeed(
            lambda: status.document(
                health,
                version=version("pulsegate"),
                started_at=started_at,
                ice_address=client.address,
                bridge=bool(told.ice_endpoint),
            )
        )
        health.on_change(feed.changed)
        source = Bridge(client) if told.ice_endpoint else Embedded()
        known = catalogue.read((resources.files("services.converter") / "quantities.toml").read_text("utf-8"))

        def register(grpc_server: grpc.aio.Server) -> str:
            servicer = ConverterServicer(source, known, feed)
            converter_pb2_grpc.add_ConverterServiceServicer_to_server(servicer, grpc_server)
            return SERVICE

        await server.serve(told, health, register, on_stop=feed.close)


async def _client(told: ConverterSettings, stack: AsyncExitStack) -> IceClient:
    """Make the client of the foreign server or, after starting it, of our own."""
    try:
        proxy = told.ice_endpoint
        if not proxy:
            embedded = IceServer(told.ice_address)
            stack.push_async_callback(embedded.close)
            proxy = embedded.proxy
        client = IceClient(proxy)
    except OSError as error:
        raise server.exit_on_bind_failure("Ice", told.ice_address, error) from None
    stack.push_async_callback(client.close)
    return client


if __name__ == "__main__":
    uvloop.run(main(settings.load(ConverterSettings, sys.argv[1:])))
