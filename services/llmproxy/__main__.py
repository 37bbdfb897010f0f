"""Start the llmproxy backend: `python -m services.llmproxy`."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack

import aiohttp
import grpc
import prometheus_client
import uvloop

from gen.llmproxy.v1 import llmproxy_pb2_grpc
from runtime import server
from runtime.health import Health
from runtime.settings import FILE_EXIT, load
from services.llmproxy import build
from services.llmproxy.answers import Resources
from services.llmproxy.budget import Budgets
from services.llmproxy.catalog import Catalog
from services.llmproxy.configuration import Configuration, ConfigurationError
from services.llmproxy.embedded import EngineSettings, bundled_model
from services.llmproxy.ledger import Ledger
from services.llmproxy.outbound import proxies_of
from services.llmproxy.registry import Registry
from services.llmproxy.servicer import SERVICE, LlmProxyServicer
from services.llmproxy.settings import LlmProxySettings
from services.llmproxy.store import Store, StoreError, read_dotenv
from services.llmproxy.traffic import Traffic
from services.llmproxy.upstream import Limits
from services.llmproxy.usage_file import UsageFile


async def run(settings: LlmProxySettings, environment: Mapping[str, str]) -> None:
    """Wire the parts and serve until told to stop."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            # Not trust_env: for every request it would read ~/.netrc, in a thread, and might send what it finds there.
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        health = Health(SERVICE)
        try:
            registry = Registry(
                Store(settings.ccproxy_config),
                read_dotenv(environment),
                lambda configuration: Catalog(
                    configuration, resources(settings, session, proxies_of(environment)), health
                ),
                health,
                prometheus_client.REGISTRY,
            )
        except (StoreError, ConfigurationError) as error:
            for problem in getattr(error, "problems", [str(error)]):
                print(f"Error: {problem}", file=sys.stderr)  # noqa: T201  for a person at a terminal
            raise SystemExit(FILE_EXIT) from None
        stack.push_async_callback(registry.catalog.close)
        ledger = Ledger(
            lambda: UsageFile(settings.usage_folder, settings.usage_days),
            Budgets(settings.budget_tokens_per_day, settings.budget_tokens_per_month),
            health,
            prometheus_client.REGISTRY,
        )
        stack.push_async_callback(ledger.close)
        traffic = Traffic(prometheus_client.REGISTRY, ledger)
        for record in await ledger.start():
            traffic.minutes.add(record)
        known = await asyncio.to_thread(build.read, settings.version)
        servicer = LlmProxyServicer(registry, health, traffic, known)
        registry.catalog.on_change(servicer.feed.changed)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, registry.reload_soon)
        following = asyncio.create_task(registry.follow(), name="follow the configuration")
        stack.callback(following.cancel)

        def register(grpc_server: grpc.aio.Server) -> str:
            llmproxy_pb2_grpc.add_LlmProxyServiceServicer_to_server(servicer, grpc_server)
            return SERVICE

        told = as_configured(settings, registry.configuration)
        await server.serve(told, health, register, on_drain=servicer.drain, on_stop=servicer.feed.close)


def as_configured(settings: LlmProxySettings, configuration: Configuration) -> LlmProxySettings:
    """Lay what CCProxy's configuration says of the process under what the process itself was told."""
    told: dict[str, object] = {}
    if not configuration.metrics:
        told["metrics_address"] = "off"
    if configuration.shutdown_seconds is not None:
        told["grace_seconds"] = configuration.shutdown_seconds
    return settings.model_copy(update={name: told[name] for name in told.keys() - settings.model_fields_set})


def resources(settings: LlmProxySettings, session: aiohttp.ClientSession, proxies: Mapping[str, str]) -> Resources:
    """Read what providers are made with out of the settings."""
    return Resources(
        session=session,
        limits=Limits(settings.connect_seconds, settings.first_byte_seconds, settings.idle_seconds),
        engine=EngineSettings(
            model=settings.local_model or bundled_model(),
            context=settings.local_context,
            slots=settings.local_slots,
            threads=settings.local_threads,
            answer_tokens=settings.local_answer_tokens,
        ),
        queue_limit=settings.local_queue,
        proxy_url=settings.proxy_url,
        proxies=proxies,
        retries=settings.retries,
        adaptive_thinks=settings.adaptive_thinks,
    )


def main() -> None:
    """Run the process."""
    uvloop.run(run(load(LlmProxySettings, sys.argv[1:]), os.environ))


if __name__ == "__main__":
    main()
