"""The live providers of one configuration: who answers a request, and how each of them is."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from time import monotonic

from runtime.health import Health
from services.llmproxy import routing
from services.llmproxy.answers import Call, Provider, Resources
from services.llmproxy.condition import Condition
from services.llmproxy.configuration import Configuration, ProviderConfiguration
from services.llmproxy.keyring import Keyring
from services.llmproxy.messages import AnswerError, Request
from services.llmproxy.outbound import proxy_of
from services.llmproxy.providers import PROVIDERS
from services.llmproxy.resilience import Breaker, Patience
from services.llmproxy.tokens import estimate
from services.llmproxy.upstream import REFUSED

HEALTH_PREFIX = "llmproxy.provider."
RECHECK_SECONDS = 10.0
LONGEST_RECHECK_SECONDS = 300.0
CHECK_TIMEOUT_SECONDS = 10.0
MOST_NAMED_MODELS = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """One provider: as configured, as it runs, and as it is."""

    configured: ProviderConfiguration
    provider: Provider
    condition: Condition
    keyring: Keyring
    patience: Patience
    breaker: Breaker = field(default_factory=Breaker)

    def refused(self) -> None:
        """Take note that a key was refused, which with several of them only the last one tells."""
        if self.keyring.all_refused:
            self.condition.unwell(REFUSED)


class Catalog:
    """Keeps the providers of a configuration, their health names, and the table that routing reads."""

    def __init__(self, configuration: Configuration, resources: Resources, health: Health) -> None:
        self._resources = resources
        self._health = health
        self._observers: list[Callable[[], None]] = []
        self._retired: list[Provider] = []
        self._table = routing.Table()
        self._configuration: Configuration | None = None
        self.retries = resources.retries
        self.entries: dict[str, Entry] = {}
        self.apply(configuration)
        self._rechecking = asyncio.create_task(self._recheck(), name="recheck unhealthy providers")

    def apply(self, configuration: Configuration) -> None:
        """Serve a new configuration from the next request on; running answers go on with what they began with."""
        resources = self._resources
        if configuration.idle_seconds is not None:
            resources = replace(resources, limits=replace(resources.limits, idle_seconds=configuration.idle_seconds))
        if configuration.proxy_url:
            resources = replace(resources, proxy_url=configuration.proxy_url)
        before, self.entries = self.entries, {}
        for one in configuration.providers:
            known = before.get(one.name)
            if known is not None and self._connects_alike(known.configured, one, configuration):
                self.entries[one.name] = replace(known, configured=one)
            else:
                self.entries[one.name] = self._open(one, resources)
        for name, entry in before.items():
            if name not in self.entries:
                self._health.remove(HEALTH_PREFIX + name)
            if all(entry.provider is not kept.provider for kept in self.entries.values()):
                self._retired.append(entry.provider)
        self._configuration = configuration
        candidates = [_candidate(entry) for entry in self.entries.values()]
        self._table = routing.Table(candidates, configuration.routes, adaptive_thinks=self._resources.adaptive_thinks)
        for observer in self._observers:
            observer()

    def on_change(self, observer: Callable[[], None]) -> None:
        """Call the observer, on the loop, whenever a provider's condition changed."""
        self._observers.append(observer)

    @property
    def breaks(self) -> bool:
        """Whether providers that keep failing are passed over for a while."""
        return self._configuration is None or self._configuration.circuit_breaker

    def choose(self, request: Request) -> list[tuple[Entry, Call]]:
        """Say who answers a request, and who else if that one cannot; nobody is a 404."""
        try:
            first = routing.route(self._table, request.fields, lambda: estimate(request.fields, request.model))
        except routing.NoRouteError as error:
            named = list(islice((name for name, _ in self.models()), MOST_NAMED_MODELS))
            raise AnswerError(
                404, str(error), code="model_not_found", details={"available_models": named} if named else None
            ) from None
        now = monotonic()
        targets: list[tuple[Entry, Call]] = []
        for one in (first, *first.others):
            entry = self.entries[one.provider]
            keys = entry.keyring.pick(now)
            cap = min(filter(None, (one.most_tokens, entry.configured.most_tokens)), default=0)
            targets += [(entry, Call(request, one.model, one.parameters, key, cap)) for key in keys]
        return targets

    def models(self) -> Iterator[tuple[str, str]]:
        """Yield every model name that is sure to find its provider, with the provider's name."""
        for candidate in self._table.candidates:
            if candidate.enabled:
                for model in candidate.models:
                    for name in (model, f"{candidate.name},{model}", routing.alias(candidate.name, model)):
                        yield name, candidate.name

    async def recheck(self) -> None:
        """Ask only the unhealthy whether they are back: the others prove themselves with every answer."""
        await asyncio.gather(*(_recheck_one(entry) for entry in self._sick()))

    async def close(self) -> None:
        """Close every provider."""
        self._rechecking.cancel()
        with suppress(asyncio.CancelledError):
            await self._rechecking
        for provider in [*(entry.provider for entry in self.entries.values()), *self._retired]:
            await provider.close()

    def _connects_alike(
        self, before: ProviderConfiguration, after: ProviderConfiguration, configuration: Configuration
    ) -> bool:
        """Tell whether a provider can go on as it is: the embedded model is not loaded twice for a new route."""
        if before.message_format == after.message_format == "local":
            return True
        old = self._configuration
        return (
            old is not None
            and (old.idle_seconds, old.proxy_url) == (configuration.idle_seconds, configuration.proxy_url)
            and (before.message_format, before.api_base_url, before.region, before.keys, before.keyless)
            == (after.message_format, after.api_base_url, after.region, after.keys, after.keyless)
            and before.most_tokens == after.most_tokens
        )

    def _open(self, configured: ProviderConfiguration, resources: Resources) -> Entry:
        name = HEALTH_PREFIX + configured.name

        def told() -> None:
            self._health.set(name, serving=condition.serving, error=condition.reason, required=False)
            for observer in self._observers:
                observer()

        condition = Condition(told)
        proxy_url = resources.proxy_url or proxy_of(configured.api_base_url, resources.proxies)
        resources = replace(resources, proxy_url=proxy_url)
        provider = PROVIDERS[configured.message_format](configured, resources, condition)
        self._health.set(name, serving=condition.serving, error=condition.reason, required=False)
        keyring = Keyring.of((key.get_secret_value(), weight) for key, weight in configured.keys)
        embedded = configured.message_format == "local"  # each try of it is a process
        patience = Patience(RECHECK_SECONDS, LONGEST_RECHECK_SECONDS if embedded else RECHECK_SECONDS)
        return Entry(configured, provider, condition, keyring, patience)

    def _sick(self) -> list[Entry]:
        return [entry for entry in self.entries.values() if not entry.condition.healthy]

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            for entry in self.entries.values():
                if entry.condition.healthy:
                    entry.patience.reset()
            now = monotonic()
            await asyncio.gather(*(_recheck_one(entry) for entry in self._sick() if entry.patience.due(now)))


async def _recheck_one(entry: Entry) -> None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await entry.provider.check(entry.keyring.pick(monotonic())[0])
    except (AnswerError, TimeoutError):
        return
    entry.condition.well()


def _candidate(entry: Entry) -> routing.Candidate:
    configured, provider = entry.configured, entry.provider
    return routing.Candidate(
        configured.name,
        configured.models or provider.own_models,
        enabled=configured.enabled and provider.credential,
        by_name_only=configured.implied,
        embedded=configured.message_format == "local",
    )
