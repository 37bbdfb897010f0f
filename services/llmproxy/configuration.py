"""Which providers and routes there are: CCProxy's configuration document with the environment laid over it."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

import orjson
from pydantic import SecretStr

from services.llmproxy import aws, durations
from services.llmproxy.predicates import KINDS, OPERATORS, TOKEN_COUNT, Predicate
from services.llmproxy.presets import PRESETS, Preset
from services.llmproxy.routing import Route

FORMATS = ("anthropic", "aws", "google", "local", "openai")
"""The wire formats that a provider can have."""
PERFORMANCE_KEYS: Mapping[str, type] = {
    "circuit_breaker_enabled": bool,
    "max_request_body_size": int,  # the gateway's
    "metrics_enabled": bool,
    "rate_limit_enabled": bool,
    "rate_limit_requests_per_min": int,
    "request_timeout": str,
}
DEFAULT_RATE = 60
PROVIDER_KEYS = frozenset(
    {"name", "api_base_url", "api_key", "api_keys", "models", "enabled", "transformers", "message_format"}
    | {"created_at", "max_tokens_cap", "region", "updated_at"}
)
_ANY_MODEL: list[str] = []
"""The models of a provider that variables made, which have no way to list them."""
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_INDEXED = re.compile(r"CCPROXY_PROVIDERS_(\d+)_(NAME|API_KEY|API_BASE_URL|ENABLED)")

Document = Mapping[str, Any]


class ConfigurationError(ValueError):
    """The document breaks rules; ``problems`` names every one of them, without secrets."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Transformer:
    """A named step that a document may list for a provider."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderConfiguration:
    """One provider as configured; no models means any model."""

    name: str
    message_format: str
    api_base_url: str = ""
    api_key: SecretStr = field(default_factory=lambda: SecretStr(""))
    models: tuple[str, ...] = ()
    enabled: bool = True
    transformers: tuple[Transformer, ...] = ()
    created_at: datetime | None = None
    updated_at: datetime | None = None
    api_keys: tuple[tuple[SecretStr, int], ...] = ()
    """Every key with its weight where there are several; ``api_key`` is the first of them."""
    most_tokens: int = 0
    """A cap of ``max_tokens``; 0 for none but the vendor's."""
    region: str = ""
    """Where AWS serves it; empty for every other vendor."""
    implied: bool = False
    """It is here only because its key is in the environment, so it answers only who names it."""

    @property
    def keys(self) -> tuple[tuple[SecretStr, int], ...]:
        """Every key with its weight; none for a provider that needs none or has none yet."""
        return self.api_keys or (((self.api_key, 1),) if self.api_key.get_secret_value() else ())

    @property
    def has_credential(self) -> bool:
        """Whether it has what it needs to be asked."""
        return bool(self.keys) or self.keyless

    @property
    def keyless(self) -> bool:
        """Whether it needs no key."""
        preset = PRESETS.get(self.name.lower())
        return preset.keyless if preset else not self.api_key.get_secret_value()


@dataclass(frozen=True, slots=True)
class Configuration:
    """Providers in configured order, and where requests go."""

    providers: tuple[ProviderConfiguration, ...] = ()
    routes: Mapping[str, Route] = field(default_factory=dict)
    idle_seconds: float | None = None
    proxy_url: str = ""
    circuit_breaker: bool = True
    requests_per_minute: int = 0
    """What one client may ask; 0 for no limit."""
    metrics: bool = True
    shutdown_seconds: float | None = None
    warnings: tuple[str, ...] = ()


def read(document: Document, environment: Mapping[str, str]) -> Configuration:
    """Make a configuration of a document and the environment; raises ``ConfigurationError`` with every problem."""
    return _Reader(environment).read(document)


def masked(key: str) -> str:
    """Show as much of a key as tells it from others."""
    if not key:
        return "(not set)"
    return "*" * len(key) if len(key) <= 8 else f"{key[:4]}{'*' * (len(key) - 8)}{key[-4:]}"


def split_target(text: str) -> tuple[str, str]:
    """Split ``provider,model`` at its first comma; no model means the one asked for."""
    provider, _, model = text.partition(",")
    return provider.strip(), model.strip()


class _Reader:
    """Reads one document and collects what is wrong with it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._problems: list[str] = []
        self._warnings: list[str] = []

    def read(self, document: Document) -> Configuration:
        expanded = self._expand(document)
        port = expanded.get("port", 3456)
        if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
            self._problems.append(f"invalid port number: {port}")
        providers = self._providers(expanded)
        routes = self._routes(expanded, {provider.name for provider in providers})
        performance = self._performance(expanded)
        idle = self._duration(performance, "request_timeout")
        rate = self._rate(performance)
        shutdown = self._duration(expanded, "shutdown_timeout")
        if expanded.get("log_file"):
            self._warnings.append("log_file is not used: the log goes to standard error")
        self._check_networks(_mapping(expanded.get("security")))
        if self._problems:
            raise ConfigurationError(self._problems)
        proxy_url = str(expanded.get("proxy_url") or "")
        breaks = performance.get("circuit_breaker_enabled") is not False
        metrics = performance.get("metrics_enabled") is not False
        return Configuration(
            tuple(providers), routes, idle, proxy_url, breaks, rate, metrics, shutdown, tuple(self._warnings)
        )

    def _expand(self, value: Any) -> Any:  # noqa: ANN401  any JSON
        """Replace ``${VAR}`` in every string; a variable nobody set is empty, and said."""

        def variable(match: re.Match[str]) -> str:
            name = match[1]
            if name not in self._environment:
                self._warnings.append(f"variable {name} is not set")
            return self._environment.get(name, "")

        if isinstance(value, str):
            return _VARIABLE.sub(variable, value)
        if isinstance(value, Mapping):
            return {key: self._expand(one) for key, one in value.items()}
        return [self._expand(one) for one in value] if isinstance(value, list) else value

    def _check_networks(self, security: Document) -> None:
        """Judge what the gateway reads, which has to take it as it is."""
        for key in ("ip_whitelist", "ip_blacklist"):
            for one in self._list(security, key):
                try:
                    ip_network(str(one))
                except ValueError:
                    self._problems.append(f"{key}: not an address or network: {one}")
        for key in ("audit_enabled", "cors_enabled"):
            if not isinstance(security.get(key, False), bool):
                self._problems.append(f"{key} must be true or false")

    def _performance(self, document: Document) -> dict[str, Any]:
        """Lay ``CCPROXY_PERFORMANCE_*`` over the document's part of that name."""
        performance = _mapping(document.get("performance"))
        for key, kind in PERFORMANCE_KEYS.items():
            text = self._environment.get(f"CCPROXY_PERFORMANCE_{key.upper()}", "").strip()
            if not text:
                continue
            if kind is int and text.isdecimal():
                performance[key] = int(text)
            else:
                performance[key] = {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
        for key, kind in PERFORMANCE_KEYS.items():
            if kind is bool and not isinstance(performance.get(key, False), bool):
                self._problems.append(f"{key} must be true or false")
        return performance

    def _rate(self, performance: Document) -> int:
        rate = performance.get("rate_limit_requests_per_min", DEFAULT_RATE)
        if isinstance(rate, bool) or not isinstance(rate, int) or rate < 1:
            self._problems.append("rate_limit_requests_per_min must be a positive whole number")
            return 0
        return rate if performance.get("rate_limit_enabled") is True else 0

    def _duration(self, table: Document, key: str) -> float | None:
        if key not in table:
            return None
        try:
            return durations.seconds(table[key]) or None
        except ValueError as error:
            self._problems.append(f"{key}: {error}")
            return None

    def _providers(self, document: Document) -> list[ProviderConfiguration]:
        written = self._list(document, "providers") + self._json("CCPROXY_PROVIDERS_JSON", list)
        self._lay_indexed_over(written)
        providers: list[ProviderConfiguration] = []
        for fields in written:
            if provider := self._provider(_mapping(fields)):
                if any(provider.name == other.name for other in providers):
                    self._problems.append(f"duplicate provider name: {provider.name}")
                providers.append(provider)
        return providers + list(self._implied({provider.name.lower() for provider in providers}))

    def _lay_indexed_over(self, written: list[dict[str, Any]]) -> None:
        """Let ``CCPROXY_PROVIDERS_<i>_*`` change the provider at that place, or add one."""
        indexed: dict[int, dict[str, Any]] = {}
        for variable, value in self._environment.items():
            if match := _INDEXED.fullmatch(variable):
                indexed.setdefault(int(match[1]), {})[match[2].lower()] = value
        for index, fields in sorted(indexed.items()):
            if "enabled" in fields:
                fields["enabled"] = fields["enabled"].strip().lower() in ("true", "1")
            if index < len(written):
                written[index] = {**_mapping(written[index]), **fields}
            else:
                written.append({"models": _ANY_MODEL, **fields})

    def _provider(self, fields: Document) -> ProviderConfiguration | None:
        name = str(fields.get("name") or "").strip()
        if not name:
            self._problems.append("provider name is required")
            return None
        say = self._sayer(f"provider {name}")
        if "," in name:
            say("name must not contain a comma")
        for key in sorted(fields.keys() - PROVIDER_KEYS):
            self._warnings.append(f"provider {name}: unknown key {key}")
        preset = PRESETS.get(name.lower())
        message_format = str(fields.get("message_format") or (preset.message_format if preset else "openai"))
        if message_format not in FORMATS:
            say(f"message format must be one of {', '.join(FORMATS)}, got {message_format}")
        enabled = fields.get("enabled", True)
        if not isinstance(enabled, bool):
            say("enabled must be true or false")
        region = self._region(fields, say) if message_format == "aws" else ""
        listed = self._listed_keys(fields, say)
        key, of_environment = self._key(fields, name, message_format)
        if listed and key and not of_environment:
            listed = ((SecretStr(key), 1), *listed)
        elif listed and not key:
            key = listed[0][0].get_secret_value()
        return ProviderConfiguration(
            name,
            message_format,
            self._base_url(fields, preset, message_format, say).replace(aws.REGION_MARK, region),
            SecretStr(key),
            self._models(fields, preset, say, enabled=enabled is True),
            enabled is True,
            self._transformers(fields, say),
            self._time(fields, "created_at", say),
            self._time(fields, "updated_at", say),
            () if of_environment else listed,
            self._cap(fields, say),
            region,
        )

    def _cap(self, fields: Document, say: Callable[[str], None]) -> int:
        cap = fields.get("max_tokens_cap", 0)
        if isinstance(cap, bool) or not isinstance(cap, int) or cap < 0:
            say("max_tokens_cap must be a whole number, 0 for none")
            return 0
        return cap

    def _listed_keys(self, fields: Document, say: Callable[[str], None]) -> tuple[tuple[SecretStr, int], ...]:
        keys = []
        for one in fields.get("api_keys") or []:
            written = {"key": one} if isinstance(one, str) else _mapping(one)
            key, weight = written.get("key"), written.get("weight", 1)
            if not isinstance(key, str):
                say("api_keys must be a list of keys, or of objects with key and weight")
            elif isinstance(weight, bool) or not isinstance(weight, int) or weight < 1:
                say("the weight of a key must be a positive whole number")
            elif key:  # a variable that is not set leaves nothing of it
                keys.append((SecretStr(key), weight))
        return tuple(keys)

    def _region(self, fields: Document, say: Callable[[str], None]) -> str:
        region = aws.region(str(fields.get("region") or ""), str(fields.get("api_base_url") or ""), self._environment)
        if not aws.REGION.fullmatch(region):
            say(f"region is not one of AWS: {region}")
        return region

    def _base_url(
        self, fields: Document, preset: Preset | None, message_format: str, say: Callable[[str], None]
    ) -> str:
        named = self._environment.get(aws.ENDPOINT_VARIABLE) if message_format == "aws" else ""
        default = aws.BASE_URL if message_format == "aws" else preset.base_url if preset else ""
        url = str(fields.get("api_base_url") or named or default)
        if message_format == "local":
            return ""
        if not url:
            say("API base URL is required")
            return ""
        try:
            parts = urlsplit(url)
            scheme, host = parts.scheme, parts.hostname
        except ValueError:
            scheme, host = "", None
        if scheme not in ("http", "https"):
            say("API base URL must use http or https scheme")
        elif not host:
            say("API base URL must name a host")
        return url

    def _key(self, fields: Document, name: str, message_format: str) -> tuple[str, bool]:
        """Choose the key, and tell whether it is the environment's: a variable of the provider's name beats all."""
        preset = PRESETS.get(name.lower())
        for variable in preset.key_variables if preset else (f"{name.upper().replace('-', '_')}_API_KEY",):
            if value := self._environment.get(variable):
                return value, True
        written = str(fields.get("api_key") or "")
        common = aws.key_of(self._environment) if message_format == "aws" else ""
        if common and (preset or not (written or fields.get("api_keys"))):  # the preset's name is what it is meant for
            return common, True
        return written, False

    def _models(
        self, fields: Document, preset: Preset | None, say: Callable[[str], None], *, enabled: bool
    ) -> tuple[str, ...]:
        models = fields.get("models") or []
        if fields.get("models") is _ANY_MODEL:
            return ()
        if not isinstance(models, list) or not all(isinstance(model, str) and model.strip() for model in models):
            say("models must be a list of names")
            return ()
        if enabled and not models and preset is None:
            say("at least one model must be specified for enabled provider")
        return tuple(models)

    def _transformers(self, fields: Document, say: Callable[[str], None]) -> tuple[Transformer, ...]:
        transformers = []
        for one in fields.get("transformers") or []:
            written = {"name": one} if isinstance(one, str) else _mapping(one)
            if not written.get("name"):
                say("a transformer needs a name")
            transformers.append(Transformer(str(written.get("name") or ""), _mapping(written.get("config"))))
        return tuple(transformers)

    def _time(self, fields: Document, key: str, say: Callable[[str], None]) -> datetime | None:
        text = fields.get(key)
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(str(text))
        except ValueError:
            say(f"{key} must be an RFC 3339 time")
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def _implied(self, named: set[str]) -> Iterator[ProviderConfiguration]:
        """Yield the providers that need no document: those whose key is at hand, and the embedded model."""
        keys: set[str] = set()
        for name, preset in PRESETS.items():
            key, _ = self._key({}, name, preset.message_format)
            if name in named:
                keys.add(key)
            elif key and key not in keys:
                keys.add(key)
                if provider := self._provider({"name": name}):
                    yield replace(provider, implied=name != "anthropic")
        if "local" not in named:
            yield ProviderConfiguration("local", "local")

    def _routes(self, document: Document, providers: set[str]) -> dict[str, Route]:
        written = {**_mapping(document.get("routes")), **self._json("CCPROXY_ROUTES_JSON", dict)}
        return {name: self._route(name, _mapping(fields), providers) for name, fields in written.items()}

    def _route(self, name: str, fields: Document, providers: set[str]) -> Route:
        provider = str(fields.get("provider") or "")
        say = self._sayer(f"route {name}")
        if provider not in providers:
            self._problems.append(f"route {name} references unknown provider: {provider}")
        predicates = tuple(_predicate(_mapping(condition), say) for condition in fields.get("conditions") or [])
        parameters = _mapping(fields.get("parameters"))
        _check_parameters(parameters, say)
        fallbacks = fields.get("fallbacks") or []
        if not isinstance(fallbacks, list) or not all(isinstance(one, str) for one in fallbacks):
            say("fallbacks must be a list of 'provider' or 'provider,model'")
            fallbacks = []
        pairs = [split_target(one) for one in fallbacks]
        for other, _ in pairs:
            if other not in providers:
                self._problems.append(f"route {name} references unknown provider: {other}")
        return Route(
            provider, str(fields.get("model") or ""), parameters, tuple(pairs), self._cap(fields, say), predicates
        )

    def _list(self, document: Document, key: str) -> list[dict[str, Any]]:
        value = document.get(key) or []
        if not isinstance(value, list):
            self._problems.append(f"{key} must be a list")
            return []
        return list(value)

    def _json(self, variable: str, kind: type) -> Any:  # noqa: ANN401  any JSON of that kind
        text = self._environment.get(variable)
        if not text:
            return kind()
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            value = None
        if not isinstance(value, kind):
            self._problems.append(f"{variable} must be a JSON {'list' if kind is list else 'object'}")
            return kind()
        return self._expand(value)

    def _sayer(self, where: str) -> Callable[[str], None]:
        return lambda what: self._problems.append(f"{where}: {what}")


def _predicate(condition: Document, say: Callable[[str], None]) -> Predicate:
    kind, operator, value = (condition.get(key) for key in ("type", "operator", "value"))
    if kind not in KINDS:
        say(f"unknown condition type: {kind}")
    if operator not in OPERATORS:
        say(f"unknown condition operator: {operator}")
    if value is None:
        say("condition value is required")
    elif kind == TOKEN_COUNT and (isinstance(value, bool) or not isinstance(value, int | float)):
        say(f"condition value must be a number of tokens, got {value}")
    return Predicate(str(kind), str(operator), value, str(condition.get("name") or ""))


def _check_parameters(parameters: Document, say: Callable[[str], None]) -> None:
    ranges: Mapping[str, tuple[str, Callable[[float], bool]]] = {
        "temperature": ("must be between 0 and 2", lambda value: 0 <= value <= 2),
        "top_p": ("must be between 0 and 1", lambda value: 0 <= value <= 1),
        "max_tokens": ("must be greater than 0", lambda value: value > 0),
    }
    for name, (rule, holds) in ranges.items():
        value = parameters.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            say(f"{name} must be a number")
        elif not holds(value):
            say(f"{name} {rule}, got {value}")


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
