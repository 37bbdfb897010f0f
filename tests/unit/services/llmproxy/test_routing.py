import pytest

from services.llmproxy.predicates import Predicate
from services.llmproxy.routing import Candidate, NoRouteError, Route, Table, alias, route, thinks

ANTHROPIC = Candidate("anthropic")
OPENAI = Candidate("openai", ("gpt-4o", "gpt-4o-mini"))
LOCAL = Candidate("local", ("smollm2",), embedded=True)
ROUTES = {
    "default": Route("anthropic", "claude-default", {"temperature": 0.5}),
    "longContext": Route("openai", "gpt-long"),
    "background": Route("openai", "gpt-4o-mini"),
    "think": Route("anthropic", "claude-thinks"),
    "named": Route("openai", ""),
}


def chosen(model, *, routes=None, tokens=0, candidates=(ANTHROPIC, OPENAI, LOCAL), adaptive=False, **fields):
    table = Table(candidates, ROUTES if routes is None else routes, adaptive_thinks=adaptive)
    target = route(table, {"model": model, **fields}, lambda: tokens)
    return target.provider, target.model


@pytest.mark.parametrize(
    ("model", "fields", "tokens", "expected"),
    [
        ("openai,gpt-4o", {}, 0, ("openai", "gpt-4o")),
        (" openai , gpt-4o ", {}, 0, ("openai", "gpt-4o")),
        ("openai,a,b", {}, 0, ("openai", "a,b")),
        ("named", {}, 0, ("openai", "named")),
        ("named", {}, 60_001, ("openai", "named")),
        ("claude-3-5-haiku", {}, 60_001, ("openai", "gpt-long")),
        ("claude-opus-4-8", {}, 60_000, ("anthropic", "claude-default")),
        ("claude-3-5-haiku-20241022", {}, 0, ("openai", "gpt-4o-mini")),
        ("claude-haiku-4-5-20251001", {"thinking": True}, 0, ("openai", "gpt-4o-mini")),
        ("my-haiku", {}, 0, ("anthropic", "claude-default")),
        ("claude-opus-4-8", {"thinking": True}, 0, ("anthropic", "claude-thinks")),
        ("claude-opus-4-8", {"thinking": {"type": "enabled"}}, 0, ("anthropic", "claude-thinks")),
        ("claude-opus-4-8", {"thinking": {"type": "adaptive"}}, 0, ("anthropic", "claude-default")),
        ("claude-opus-4-8", {"thinking": {"type": "disabled"}}, 0, ("anthropic", "claude-default")),
        ("gpt-4o", {}, 0, ("anthropic", "claude-default")),
        (alias("openai", "gpt-4o"), {}, 0, ("openai", "gpt-4o")),
        (alias("openai", "gone"), {}, 0, ("anthropic", "claude-default")),
    ],
)
def test_the_first_rule_that_hits_decides(model, fields, tokens, expected):
    assert chosen(model, tokens=tokens, **fields) == expected


def test_without_a_default_the_provider_that_lists_the_model_answers():
    assert chosen("gpt-4o", routes={}) == ("openai", "gpt-4o")


def test_without_a_default_a_provider_of_any_model_comes_before_the_embedded_one():
    assert chosen("claude-opus-4-8", routes={}) == ("anthropic", "claude-opus-4-8")


def test_with_nothing_configured_the_embedded_model_answers_whatever_was_asked_for():
    assert chosen("claude-opus-4-8", routes={}, candidates=(LOCAL,)) == ("local", "smollm2")


def test_the_embedded_model_can_be_asked_for_by_its_name_or_its_providers():
    assert chosen("smollm2", routes={}) == ("local", "smollm2")
    assert chosen("local", routes={}) == ("local", "smollm2")
    assert chosen("local") == ("local", "smollm2")


def test_a_provider_that_is_only_implied_answers_who_names_it_and_nobody_else():
    implied = Candidate("openai", by_name_only=True)
    assert chosen("openai,gpt-4o", routes={}, candidates=(implied, LOCAL)) == ("openai", "gpt-4o")
    assert chosen("gpt-4o", routes={}, candidates=(implied, LOCAL)) == ("local", "smollm2")


@pytest.mark.parametrize("model", ["gone,gpt-4o", "off,x", "openai,"])
def test_an_explicit_provider_that_cannot_answer_is_no_route(model):
    with pytest.raises(NoRouteError):
        chosen(model, candidates=(OPENAI, Candidate("off", enabled=False)))


def test_nobody_at_all_is_no_route_and_the_message_names_the_model():
    with pytest.raises(NoRouteError, match="claude-x"):
        chosen("claude-x", routes={}, candidates=(Candidate("off", enabled=False),))


def test_a_route_to_a_disabled_provider_is_passed_over():
    assert chosen("named", candidates=(ANTHROPIC, Candidate("openai", enabled=False))) == (
        "anthropic",
        "claude-default",
    )


def test_explicit_models_get_the_default_routes_parameters_and_others_their_own():
    table = Table((ANTHROPIC, OPENAI), ROUTES)
    assert route(table, {"model": "openai,gpt-4o"}, lambda: 0).parameters == {"temperature": 0.5}
    assert route(table, {"model": "named"}, lambda: 0).parameters == {}


def test_tokens_are_counted_only_where_a_route_depends_on_them():
    def count():
        pytest.fail("counted for nothing")

    table = Table((ANTHROPIC,), {"default": Route("anthropic")})
    assert route(table, {"model": "claude-x"}, count).provider == "anthropic"


def test_adaptive_thinking_counts_by_option_only():
    assert not thinks({"type": "adaptive"}, adaptive=False)
    assert thinks({"type": "adaptive"}, adaptive=True)
    assert not thinks("true", adaptive=True)


def order(model="x", routes=None, *candidates):
    first = route(Table(candidates, routes or {}), {"model": model}, lambda: 0)
    return [(one.provider, one.model) for one in (first, *first.others)]


def test_a_routes_fallbacks_come_behind_it_in_order_without_the_disabled():
    routes = {"default": Route("a", "big", {}, (("off", "x"), ("b", "small"), ("c", "")))}
    candidates = (Candidate("c"), Candidate("b"), Candidate("a"), Candidate("off", enabled=False))
    assert order("asked", routes, *candidates) == [("a", "big"), ("b", "small"), ("c", "asked")]


def test_a_fallback_answers_for_a_disabled_provider():
    routes = {"default": Route("off", "big", {"top_p": 1}, (("b", "small"),))}
    candidates = (Candidate("off", enabled=False), Candidate("b"))
    assert order("asked", routes, *candidates) == [("b", "small")]
    assert route(Table(candidates, routes), {"model": "x"}, lambda: 0).parameters == {"top_p": 1}


def test_everyone_who_lists_a_model_stands_behind_the_first_who_does():
    candidates = (Candidate("a", ("m",)), Candidate("b", ("n",)), Candidate("c", ("m", "n")), Candidate("any"))
    assert order("m", {}, *candidates) == [("a", "m"), ("c", "m")]


def test_who_names_a_provider_gets_that_one_and_no_other():
    assert order("b,m", {}, Candidate("a", ("m",)), Candidate("b", ("m",))) == [("b", "m")]


def when(kind, operator, value):
    return (Predicate(kind, operator, value),)


def test_a_route_is_taken_only_when_its_conditions_hold():
    routes = {"default": ROUTES["default"], "gpt-4o": Route("openai", predicates=when("tokenCount", "<", 100))}
    assert chosen("gpt-4o", routes=routes, tokens=99) == ("openai", "gpt-4o")
    assert chosen("gpt-4o", routes=routes, tokens=100) == ("anthropic", "claude-default")
    both = Route("openai", "big", predicates=when("tokenCount", ">", 10) + when("model", "contains", "opus"))
    routes["complex"] = both
    assert chosen("claude-opus", routes=routes, tokens=11) == ("openai", "big")
    assert chosen("claude-opus", routes=routes, tokens=10) == ("anthropic", "claude-default")
    assert chosen("claude-haiku", routes=routes, tokens=11) == ("anthropic", "claude-default")


def test_a_route_of_its_own_conditions_comes_before_the_documented_ones_and_behind_a_models():
    routes = {**ROUTES, "complex": Route("openai", "big", predicates=when("tokenCount", ">", 8000))}
    assert chosen("claude-opus", routes=routes, tokens=70_000) == ("openai", "big")
    assert chosen("named", routes=routes, tokens=70_000) == ("openai", "named")
    assert chosen("openai,gpt-4o", routes=routes, tokens=70_000) == ("openai", "gpt-4o")


def test_a_route_for_long_requests_may_say_itself_how_long_that_is():
    def long(value):
        return {**ROUTES, "longContext": Route("openai", "gpt-long", predicates=when("tokenCount", ">", value))}

    assert chosen("m", routes=long(30_000), tokens=30_001) == ("openai", "gpt-long")
    assert chosen("m", routes=long(90_000), tokens=70_000) == ("anthropic", "claude-default")


def test_tokens_are_counted_once_and_only_where_a_route_depends_on_them():
    counted = []
    routes = {**ROUTES, "complex": Route("openai", "big", predicates=when("tokenCount", ">", 8000))}
    for table in (Table((ANTHROPIC, OPENAI), routes), Table((ANTHROPIC,), {"default": ROUTES["default"]})):
        route(table, {"model": "m"}, lambda: counted.append(1) or 0)
    assert len(counted) == 1
