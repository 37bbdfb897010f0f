"""The live providers of one configuration: who answers a request, and how each of them is."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from runtime.health import Health
from services.llmproxy import routing
from services.llmproxy.answers import Call, Provider, Resources
from services.llmproxy.condition import Condition
from services.llmproxy.configuration import Configuration, ProviderConfiguration
from services.llmproxy.messages import AnswerError, Request
from services.llmproxy.providers import PROVIDERS
from services.llmproxy.tokens import estimate

HEALTH_PREFIX = "llmproxy.provider."
RECHECK_SECONDS = 10.0
CHECK_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One provider: as configured, as it runs, and as it is."""

    configured: ProviderConfiguration
    provider: Provider
    condition: Condition


class Catalog:
    """Keeps the providers of a configuration, their health names, and the table that routing reads."""

    def __init__(self, configuration: Configuration, resources: Resources, health: Health) -> None:
        self._resources = resources
        self._health = health
        self._observers: list[Callable[[], None]] = []
        self.entries: Mapping[str, Entry] = {one.name: self._open(one) for one in configuration.providers}
        self._table = routing.Table(
            candidates=[_candidate(entry) for entry in self.entries.values()], routes=configuration.routes
        )
        self._rechecking = asyncio.create_task(self._recheck(), name="recheck unhealthy providers")

    def on_change(self, observer: Callable[[], None]) -> None:
        """Call the observer, on the loop, whenever a provider's condition changed."""
        self._observers.append(observer)

    def choose(self, request: Request) -> tuple[Entry, Call]:
        """Say who answers a request; nobody is a 404."""
        try:
            target = routing.route(self._table, request.fields, lambda: estimate(request.fields))
        except routing.NoRouteError as error:
            raise AnswerError(404, str(error), code="model_not_found") from None
        return self.entries[target.provider], Call(request, target.model, target.parameters)

    def models(self) -> Iterator[tuple[str, str]]:
        """Yield every model name that is sure to find its provider, with the provider's name."""
        for candidate in self._table.candidates:
            if candidate.enabled:
                for model in candidate.models:
                    for name in (model, f"{candidate.name},{model}", routing.alias(candidate.name, model)):
                        yield name, candidate.name

    async def close(self) -> None:
        """Close every provider."""
        self._rechecking.cancel()
        with suppress(asyncio.CancelledError):
            await self._rechecking
        for name, entry in self.entries.items():
            await entry.provider.close()
            self._health.remove(HEALTH_PREFIX + name)

    def _open(self, configured: ProviderConfiguration) -> Entry:
        name = HEALTH_PREFIX + configured.name

        def told() -> None:
            self._health.set(name, serving=condition.serving, error=condition.reason, required=False)
            for observer in self._observers:
                observer()

        condition = Condition(told)
        provider = PROVIDERS[configured.message_format](configured, self._resources, condition)
        self._health.set(name, serving=condition.serving, error=condition.reason, required=False)
        return Entry(configured, provider, condition)

    async def _recheck(self) -> None:
        """Ask only the unhealthy whether they are back: the others prove themselves with every answer."""
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            sick = [entry for entry in self.entries.values() if not entry.condition.healthy]
            await asyncio.gather(*(_recheck_one(entry) for entry in sick))


async def _recheck_one(entry: Entry) -> None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await entry.provider.check()
    except (AnswerError, TimeoutError):
        return
    entry.condition.well()


def _candidate(entry: Entry) -> routing.Candidate:
    configured, provider = entry.configured, entry.provider
    return routing.Candidate(
        configured.name,
        configured.models or provider.own_models,
        enabled=configured.enabled and provider.credential,
        embedded=configured.message_format == "local",
    )
