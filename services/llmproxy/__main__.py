"""Start the llmproxy backend: `python -m services.llmproxy`."""

import asyncio
import sys
from contextlib import AsyncExitStack

import aiohttp
import grpc
import prometheus_client
import uvloop

from gen.llmproxy.v1 import llmproxy_pb2_grpc
from runtime import server
from runtime.health import Health
from runtime.settings import load
from services.llmproxy import build
from services.llmproxy.answers import Resources
from services.llmproxy.catalog import Catalog
from services.llmproxy.configuration import from_settings
from services.llmproxy.embedded import EngineSettings, bundled_model
from services.llmproxy.servicer import SERVICE, LlmProxyServicer
from services.llmproxy.settings import LlmProxySettings
from services.llmproxy.traffic import Traffic
from services.llmproxy.upstream import Limits


async def run(settings: LlmProxySettings) -> None:
    """Wire the parts and serve until told to stop."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), auto_decompress=True, trust_env=not settings.proxy_url
            )
        )
        health = Health(SERVICE)
        catalog = Catalog(from_settings(settings), resources(settings, session), health)
        stack.push_async_callback(catalog.close)
        known = await asyncio.to_thread(build.read, settings.version)
        traffic = Traffic(prometheus_client.REGISTRY)
        servicer = LlmProxyServicer(catalog, health, traffic, known)  # type: ignore[abstract]  # the rest: UNIMPLEMENTED
        catalog.on_change(servicer.feed.changed)

        def register(grpc_server: grpc.aio.Server) -> str:
            llmproxy_pb2_grpc.add_LlmProxyServiceServicer_to_server(servicer, grpc_server)
            return SERVICE

        await server.serve(settings, health, register, on_drain=servicer.drain, on_stop=servicer.feed.close)


def resources(settings: LlmProxySettings, session: aiohttp.ClientSession) -> Resources:
    """Read what providers are made with out of the settings."""
    return Resources(
        session=session,
        limits=Limits(settings.connect_seconds, settings.first_byte_seconds, settings.idle_seconds),
        engine=EngineSettings(
            model=settings.local_model or bundled_model(),
            context=settings.local_context,
            slots=settings.local_slots,
            threads=settings.local_threads,
        ),
        queue_limit=settings.local_queue,
        proxy_url=settings.proxy_url,
    )


def main() -> None:
    """Run the process."""
    uvloop.run(run(load(LlmProxySettings, sys.argv[1:])))


if __name__ == "__main__":
    main()
