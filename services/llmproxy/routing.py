"""Which provider answers which request, by CCProxy's documented order of rules."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from services.llmproxy.predicates import TOKEN_COUNT, Predicate

LONG_CONTEXT_TOKENS = 60_000
DOCUMENTED = frozenset({"longContext", "background", "think", "default"})
"""Routes whose names say what they are for; any other name is a model's, or that of a route with conditions."""
ALIAS_PREFIX = "claude-via-"


class NoRouteError(LookupError):
    """Nobody can answer for this model; the message says so to the client."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A provider as routing sees it; no models means any model."""

    name: str
    models: Sequence[str] = ()
    enabled: bool = True
    by_name_only: bool = False
    """Answers only who names it, even though it has any model."""
    embedded: bool = False
    """The built-in model, which answers whatever name was asked for when nobody else does."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where requests of one kind go; an empty model means the one asked for."""

    provider: str
    model: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    fallbacks: Sequence[tuple[str, str]] = ()
    """Providers and models that answer instead, in order, when the first one cannot."""
    most_tokens: int = 0
    """A cap of ``max_tokens``, which ``parameters`` cannot be: they only add; 0 for none."""
    predicates: Sequence[Predicate] = ()
    """What a request must meet, all of it, beside what the route's name says."""


@dataclass(frozen=True, slots=True)
class Target:
    """Who answers, with which of its models, and what is added where the request says nothing."""

    provider: str
    model: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    rule: str = ""
    most_tokens: int = 0
    others: Sequence["Target"] = ()
    """Who is asked instead, in order, when this one fails before its first byte."""


@dataclass(frozen=True, slots=True)
class Table:
    """Everything that routing decides from."""

    candidates: Sequence[Candidate] = ()
    routes: Mapping[str, Route] = field(default_factory=dict)
    adaptive_thinks: bool = False
    """Whether adaptive thinking counts as thinking: Claude Code sends it with nearly every request."""


def route(table: Table, fields: Mapping[str, Any], count_tokens: Callable[[], int]) -> Target:
    """Choose by the first rule that hits; tokens are counted only where a route depends on them."""
    model = str(fields["model"]).strip()
    enabled = {candidate.name: candidate for candidate in table.candidates if candidate.enabled}
    if "," in model:
        return _explicit(table, enabled, model)
    if target := _by_alias(enabled, model):
        return target
    for rule in _rules(table, fields, model, cache(count_tokens)):
        chosen = table.routes[rule]
        listed = [(chosen.provider, chosen.model), *chosen.fallbacks]
        targets = [
            Target(name, wanted or model, chosen.parameters, rule, chosen.most_tokens)
            for name, wanted in listed
            if name in enabled
        ]
        if targets:
            return _with_others(targets)
    return _without_route(enabled, model)


def thinks(thinking: object, *, adaptive: bool) -> bool:
    """Tell whether a request asks for thinking: CCProxy's ``true`` or the real API's object."""
    if isinstance(thinking, dict):
        return thinking.get("type") == "enabled" or (adaptive and thinking.get("type") == "adaptive")
    return thinking is True


def alias(provider: str, model: str) -> str:
    """Make the name under which clients that only list Claude models can pick this one."""
    return f"{ALIAS_PREFIX}{provider}-{model}"


def _with_others(targets: Sequence[Target]) -> Target:
    return replace(targets[0], others=tuple(targets[1:]))


def _explicit(table: Table, enabled: Mapping[str, Candidate], model: str) -> Target:
    """Follow ``provider,model``, split at the first comma, with the parameters of the default route."""
    name, _, wanted = (part.strip() for part in model.partition(","))
    if name not in enabled:
        raise NoRouteError(f"No enabled provider is named '{name}'")
    if not wanted:
        raise NoRouteError(f"'{model}' names no model behind the comma")
    default = table.routes.get("default")
    return Target(name, wanted, default.parameters if default else {}, "explicit")


def _by_alias(enabled: Mapping[str, Candidate], model: str) -> Target | None:
    if (named := enabled.get(model)) and named.embedded:
        return Target(named.name, named.models[0], rule="alias")
    if model.startswith(ALIAS_PREFIX):
        for candidate in enabled.values():
            for listed in candidate.models:
                if model == alias(candidate.name, listed):
                    return Target(candidate.name, listed, rule="alias")
    return None


def _rules(table: Table, fields: Mapping[str, Any], model: str, count_tokens: Callable[[], int]) -> Iterator[str]:
    """Name the routes that fit, best first."""
    routes = table.routes
    taken = {*DOCUMENTED, model, *(listed for one in table.candidates for listed in one.models)}
    own = [name for name, route in routes.items() if route.predicates and name not in taken]
    tests: tuple[tuple[str, Callable[[], bool]], ...] = (
        (model, lambda: True),
        *((name, lambda: True) for name in own),
        ("longContext", lambda: _has_threshold(routes["longContext"]) or count_tokens() > LONG_CONTEXT_TOKENS),
        ("background", lambda: model.startswith("claude") and "haiku" in model),
        ("think", lambda: thinks(fields.get("thinking"), adaptive=table.adaptive_thinks)),
        ("default", lambda: True),
    )
    return (name for name, fits in tests if name in routes and fits() and _holds(routes[name], fields, count_tokens))


def _has_threshold(route: Route) -> bool:
    """Tell whether a route says itself how long is long."""
    return any(one.kind == TOKEN_COUNT for one in route.predicates)


def _holds(route: Route, fields: Mapping[str, Any], count_tokens: Callable[[], int]) -> bool:
    return all(one.holds(fields, count_tokens) for one in route.predicates)


def _without_route(enabled: Mapping[str, Candidate], model: str) -> Target:
    if listed := [Target(one.name, model, rule="listed") for one in enabled.values() if model in one.models]:
        return _with_others(listed)
    for candidate in enabled.values():
        if not (candidate.models or candidate.embedded or candidate.by_name_only):
            return Target(candidate.name, model, rule="any model")
    for candidate in enabled.values():
        if candidate.embedded:
            return Target(candidate.name, candidate.models[0], rule="embedded")
    raise NoRouteError(f"No route or enabled provider serves the model '{model}'")
