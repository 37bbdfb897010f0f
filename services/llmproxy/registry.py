"""The configuration in use, and everything that may change it: its file, a signal, and calls."""

import asyncio
import copy
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from runtime.health import Health
from services.llmproxy.catalog import Catalog
from services.llmproxy.configuration import (
    Configuration,
    ConfigurationError,
    ProviderConfiguration,
    masked,
    read,
    split_target,
)
from services.llmproxy.routing import Route
from services.llmproxy.store import Store, StoreError

COMPONENT = "llmproxy.config"

log = logging.getLogger(__name__)


class UnknownProviderError(LookupError):
    """No provider has this name."""


class TakenNameError(ValueError):
    """Another provider has this name."""


class UnchangeableError(Exception):
    """The configuration cannot be changed that way; the message says why."""


class Registry:
    """Keeps the catalog in step with the configuration; a broken one changes nothing and is told."""

    def __init__(
        self,
        store: Store,
        environment: Mapping[str, str],
        catalog_of: Callable[[Configuration], Catalog],
        health: Health,
        metrics: CollectorRegistry,
    ) -> None:
        self._store = store
        self._environment = environment
        self._health = health
        self._document = store.load()
        self.configuration = read(self._document, environment)
        _warn(self.configuration)
        self.catalog = catalog_of(self.configuration)
        self._changing = asyncio.Lock()
        self._asked = asyncio.Event()
        self._reloads = Counter(
            "pulsegate_llmproxy_config_reloads_total", "Reloads of the configuration", ["outcome"], registry=metrics
        )
        health.set(COMPONENT, serving=True)

    def reload_soon(self) -> None:
        """Read the file again, as a signal asks."""
        self._asked.set()

    async def follow(self) -> None:
        """Read the file again whenever it changed or somebody asked, for ever."""
        while True:
            waiting = [asyncio.ensure_future(one) for one in (self._store.changed(), self._asked.wait())]
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in waiting:
                    one.cancel()
                    with suppress(asyncio.CancelledError):
                        await one
            self._asked.clear()
            async with self._changing:
                await self.reload()

    async def reload(self) -> None:
        """Take the file as it is now, or keep what is in use and say what is wrong with the file."""
        try:
            document = await asyncio.to_thread(self._store.load)
            configuration = read(document, self._environment)
        except (StoreError, ConfigurationError) as error:
            log.error("configuration not reloaded", extra={"reason": str(error)})  # noqa: TRY400  the text says it all
            self._reloads.labels("refused").inc()
            self._health.set(COMPONENT, serving=False, error=str(error), required=False)
            return
        self._use(document, configuration)
        self._reloads.labels("ok").inc()
        log.info("configuration reloaded", extra={"providers": [one.name for one in configuration.providers]})

    def provider(self, name: str) -> ProviderConfiguration:
        """Return one provider of the configuration in use."""
        for provider in self.configuration.providers:
            if provider.name == name:
                return provider
        raise UnknownProviderError(f"Provider '{name}' not found")

    async def create(self, fields: Mapping[str, Any]) -> ProviderConfiguration:
        """Add a provider."""
        name = str(fields.get("name") or "").strip()

        def add(document: dict[str, Any]) -> None:
            self._require_free(name)
            now = _now()
            document.setdefault("providers", []).append({**fields, "created_at": now, "updated_at": now})

        await self._change(add)
        return self.provider(name)

    async def update(self, name: str, fields: Mapping[str, Any]) -> ProviderConfiguration:
        """Change the given fields of a provider; a key sent back as it was shown stays."""

        def change(document: dict[str, Any]) -> None:
            current = self.provider(name)
            changes = dict(fields)
            if changes.get("api_key") == masked(current.api_key.get_secret_value()):
                del changes["api_key"]
            renamed = str(changes.get("name") or name)
            if renamed != name:
                self._require_free(renamed)
                _rename_in_routes(document, name, renamed)
            written = self._written(document, current)
            written.update(changes, updated_at=_now())

        await self._change(change)
        return self.provider(str(fields.get("name") or name))

    async def delete(self, name: str) -> None:
        """Remove a provider that no route needs."""

        def remove(document: dict[str, Any]) -> None:
            self.provider(name)
            routes = [route for route, to in self.configuration.routes.items() if name in _providers_of(to)]
            if routes:
                raise UnchangeableError(f"Provider '{name}' is needed by the routes: {', '.join(sorted(routes))}")
            index = self._index(document, name)
            if index is None:
                raise UnchangeableError(f"Provider '{name}' is not in the configuration file; it can only be disabled")
            del document["providers"][index]

        await self._change(remove)

    async def toggle(self, name: str) -> bool:
        """Flip `enabled` and tell what it is now."""
        return (await self.update(name, {"enabled": not self.provider(name).enabled})).enabled

    async def _change(self, edit: Callable[[dict[str, Any]], None]) -> None:
        """Edit a copy of the document; only what is valid is saved, and only what is saved is used."""
        async with self._changing:
            document = copy.deepcopy(self._document)
            edit(document)
            configuration = read(document, self._environment)
            try:
                await asyncio.to_thread(self._store.save, document)
            except StoreError as error:
                raise UnchangeableError(str(error)) from None
            self._use(document, configuration)

    def _use(self, document: dict[str, Any], configuration: Configuration) -> None:
        self._document, self.configuration = document, configuration
        _warn(configuration)
        self.catalog.apply(configuration)
        self._health.set(COMPONENT, serving=True, required=False)

    def _require_free(self, name: str) -> None:
        if any(provider.name == name for provider in self.configuration.providers):
            raise TakenNameError(f"Provider '{name}' already exists")

    def _written(self, document: dict[str, Any], provider: ProviderConfiguration) -> dict[str, Any]:
        """Return the provider's own place in the document, made if it came from elsewhere."""
        index = self._index(document, provider.name)
        if index is None:
            document.setdefault("providers", []).append({"name": provider.name, "created_at": _now()})
            index = -1
        written: dict[str, Any] = document["providers"][index]
        return written

    def _index(self, document: Mapping[str, Any], name: str) -> int | None:
        for index, fields in enumerate(document.get("providers") or []):
            if str(fields.get("name", "")).strip() == name:
                return index
        return None


def _rename_in_routes(document: dict[str, Any], before: str, after: str) -> None:
    for route in (document.get("routes") or {}).values():
        if route.get("provider") == before:
            route["provider"] = after
        if route.get("fallbacks"):
            pairs = [split_target(one) for one in route["fallbacks"]]
            named = [(after if provider == before else provider, model) for provider, model in pairs]
            route["fallbacks"] = [",".join(filter(None, pair)) for pair in named]


def _providers_of(route: Route) -> list[str]:
    return [route.provider, *(provider for provider, _ in route.fallbacks)]


def _warn(configuration: Configuration) -> None:
    for warning in configuration.warnings:
        log.warning("configuration", extra={"warning": warning})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
