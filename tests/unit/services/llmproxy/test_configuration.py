import pytest

from services.llmproxy.__main__ import as_configured
from services.llmproxy.aws import credentials
from services.llmproxy.configuration import ConfigurationError, masked, read
from services.llmproxy.durations import seconds
from services.llmproxy.predicates import Predicate
from services.llmproxy.settings import LlmProxySettings
from services.llmproxy.sigv4 import Credentials

KEYED = {"ANTHROPIC_API_KEY": "sk-env"}


def names(configuration):
    return [provider.name for provider in configuration.providers]


def first(document, **environment):
    return read(document, environment).providers[0]


def problems(document, **environment):
    with pytest.raises(ConfigurationError) as failure:
        read(document, environment)
    return failure.value.problems


def one(**fields):
    return {"providers": [{"name": "anthropic", **fields}]}


def test_with_nothing_configured_there_is_the_embedded_model():
    configuration = read({}, {})
    assert names(configuration) == ["local"]
    assert configuration.routes == {}


def test_a_key_in_the_environment_is_a_provider_before_the_embedded_one():
    configuration = read({}, KEYED)
    assert names(configuration) == ["anthropic", "local"]
    assert configuration.providers[0].api_key.get_secret_value() == "sk-env"
    assert not configuration.providers[0].implied


def test_a_known_name_needs_neither_address_nor_models():
    provider = first(one(api_key="k"))
    assert (provider.api_base_url, provider.message_format) == ("https://api.anthropic.com", "anthropic")
    assert (provider.enabled, provider.models) == (True, ())


def test_the_environments_key_beats_the_files_and_the_named_variable_the_indexed_one():
    assert first(one(api_key="file")).api_key.get_secret_value() == "file"
    assert first(one(api_key="file"), CCPROXY_PROVIDERS_0_API_KEY="i").api_key.get_secret_value() == "i"
    both = first(one(api_key="file"), CCPROXY_PROVIDERS_0_API_KEY="i", **KEYED)
    assert both.api_key.get_secret_value() == "sk-env"


def test_the_name_of_a_provider_finds_its_variable_in_any_case():
    provider = first({"providers": [{"name": "Anthropic"}]}, **KEYED)
    assert (provider.name, provider.api_key.get_secret_value()) == ("Anthropic", "sk-env")


def test_indexed_variables_change_the_provider_at_that_place_and_create_one_beyond():
    configuration = read(
        one(api_key="k"),
        {
            "CCPROXY_PROVIDERS_0_ENABLED": "false",
            "CCPROXY_PROVIDERS_1_NAME": "mine",
            "CCPROXY_PROVIDERS_1_API_KEY": "m",
            "CCPROXY_PROVIDERS_1_API_BASE_URL": "http://mine.test",
        },
    )
    changed, mine, _ = configuration.providers
    assert (changed.name, changed.enabled) == ("anthropic", False)
    assert (mine.name, mine.enabled, mine.api_base_url, mine.models) == ("mine", True, "http://mine.test", ())


def test_providers_can_come_as_json():
    text = '[{"name":"json","api_base_url":"http://j.test","models":["m"],"message_format":"anthropic"}]'
    assert names(read(one(), {"CCPROXY_PROVIDERS_JSON": text})) == ["anthropic", "json", "local"]


def test_variables_in_texts_are_replaced_and_missing_ones_are_empty_and_said():
    document = one(api_key="${SECRET}", api_base_url="https://${HOST}")
    configuration = read(document, {"SECRET": "s", "HOST": "h.test"})
    assert configuration.providers[0].api_key.get_secret_value() == "s"
    assert configuration.providers[0].api_base_url == "https://h.test"
    assert read(one(api_key="${SECRET}"), {}).warnings == ("variable SECRET is not set",)


def test_routes_name_provider_model_and_parameters():
    routes = {"longContext": {"provider": "anthropic", "model": "m", "parameters": {"temperature": 0.1}}}
    route = read({**one(), "routes": routes}, {}).routes["longContext"]
    assert (route.provider, route.model, route.parameters) == ("anthropic", "m", {"temperature": 0.1})
    environment = {"CCPROXY_ROUTES_JSON": '{"default":{"provider":"local"}}'}
    assert set(read({**one(), "routes": routes}, environment).routes) == {"longContext", "default"}


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"port": 0}, "invalid port number: 0"),
        ({"port": 65536}, "invalid port number: 65536"),
        ({"port": "80"}, "invalid port number: 80"),
        ({"providers": [{}]}, "provider name is required"),
        ({"providers": {}}, None),
        ({"providers": "x"}, "providers must be a list"),
        ({"providers": [{"name": "anthropic"}] * 2}, "duplicate provider name: anthropic"),
        ({"providers": [{"name": "a,b"}]}, "name must not contain a comma"),
        ({"providers": [{"name": "x", "models": ["m"]}]}, "API base URL is required"),
        (one(api_base_url="ftp://x"), "API base URL must use http or https scheme"),
        (one(api_base_url="https://"), "API base URL must name a host"),
        (one(api_base_url="http://[x"), "API base URL must use http or https scheme"),
        (
            {"providers": [{"name": "x", "api_base_url": "http://x"}]},
            "at least one model must be specified for enabled provider",
        ),
        ({"providers": [{"name": "x", "api_base_url": "http://x", "enabled": False, "message_format": "local"}]}, None),
        (one(models="m"), "models must be a list of names"),
        (one(enabled="yes"), "enabled must be true or false"),
        (one(message_format="smoke"), "message format must be one of"),
        (one(transformers=[{}]), "a transformer needs a name"),
        (one(created_at="yesterday"), "created_at must be an RFC 3339 time"),
        ({"routes": {"r": {"provider": "gone"}}}, "route r references unknown provider: gone"),
        (
            {"routes": {"r": {"provider": "local", "conditions": [{"type": "x"}]}}},
            "route r: unknown condition type: x",
        ),
        (
            {"routes": {"r": {"provider": "local", "parameters": {"temperature": 3}}}},
            "temperature must be between 0 and 2, got 3",
        ),
        (
            {"routes": {"r": {"provider": "local", "parameters": {"top_p": -1}}}},
            "top_p must be between 0 and 1, got -1",
        ),
        (
            {"routes": {"r": {"provider": "local", "parameters": {"max_tokens": 0}}}},
            "max_tokens must be greater than 0, got 0",
        ),
        ({"routes": {"r": {"provider": "local", "parameters": {"top_p": "1"}}}}, "top_p must be a number"),
        (
            {
                "routes": {
                    "r": {"provider": "local", "conditions": [{"type": "tokenCount", "operator": ">", "value": "x"}]}
                }
            },
            "route r: condition value must be a number of tokens, got x",
        ),
        ({"performance": {"request_timeout": "soon"}}, "request_timeout: invalid duration: 'soon'"),
        ({"performance": {"rate_limit_enabled": "yes"}}, "rate_limit_enabled must be true or false"),
        ({"performance": {"rate_limit_requests_per_min": 0}}, "rate_limit_requests_per_min must be a positive"),
        ({"security": {"ip_whitelist": ["10.0.0.0/8", "here"]}}, "ip_whitelist: not an address or network: here"),
        ({"security": {"cors_enabled": "no"}}, "cors_enabled must be true or false"),
        (one(api_keys=[1]), "api_keys must be a list of keys, or of objects with key and weight"),
        (one(api_keys=[{"key": "k", "weight": 0}]), "the weight of a key must be a positive whole number"),
    ],
)
def test_every_rule_has_its_words(document, problem):
    if problem is None:
        read(document, {})
    else:
        assert any(problem in told for told in problems(document))


def test_all_problems_are_told_together_and_without_secrets():
    told = problems({"port": 0, **one(api_base_url="x:y", api_key="sk-planted"), "routes": {"r": {"provider": "z"}}})
    assert len(told) == 3
    assert "planted" not in str(told)


def test_broken_json_in_a_variable_is_a_problem():
    assert problems({}, CCPROXY_PROVIDERS_JSON="{") == ["CCPROXY_PROVIDERS_JSON must be a JSON list"]
    assert problems({}, CCPROXY_ROUTES_JSON="[]") == ["CCPROXY_ROUTES_JSON must be a JSON object"]


def test_an_unknown_key_is_a_warning():
    assert read(one(colour="red"), {}).warnings == ("provider anthropic: unknown key colour",)


def test_the_idle_limit_is_the_documented_request_timeout():
    assert read({"performance": {"request_timeout": "45s"}}, {}).idle_seconds == 45
    assert read({"performance": {"request_timeout": 30_000_000_000}}, {}).idle_seconds == 30


def test_transformers_are_names_or_objects():
    transformers = first(one(transformers=["a", {"name": "b", "config": {"x": 1}}])).transformers
    assert [(each.name, each.config) for each in transformers] == [("a", {}), ("b", {"x": 1})]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("100ms", 0.1), ("30s", 30), ("5m", 300), ("1h", 3600), ("1h30m", 5400), ("1.5s", 1.5), ("0", 0), (10**9, 1)],
)
def test_durations_are_gos(text, expected):
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-1s", True, None, 1.5, -1, "1h x"])
def test_anything_else_is_no_duration(text):
    with pytest.raises(ValueError, match="invalid duration"):
        seconds(text)


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("", "(not set)"),
        ("abc", "***"),
        ("12345678", "********"),
        ("123456789", "1234*6789"),
        ("sk-abcdefgh", "sk-a***efgh"),
    ],
)
def test_a_key_shows_four_characters_at_either_end_at_most(key, shown):
    assert masked(key) == shown


ONE, TWO = ({"name": name, "api_base_url": "http://x", "models": ["m"]} for name in ("one", "two"))


def test_a_route_may_name_who_answers_instead():
    route = {"provider": "one", "fallbacks": ["two, other", "two"]}
    configuration = read({"providers": [ONE, TWO], "routes": {"default": route}}, {})
    assert configuration.routes["default"].fallbacks == (("two", "other"), ("two", ""))


@pytest.mark.parametrize(
    ("fallbacks", "problem"),
    [
        (["three,m"], "route default references unknown provider: three"),
        ("two", "route default: fallbacks must be a list of 'provider' or 'provider,model'"),
        ([{}], "route default: fallbacks must be a list of 'provider' or 'provider,model'"),
    ],
)
def test_fallbacks_that_cannot_be(fallbacks, problem):
    with pytest.raises(ConfigurationError) as failure:
        read({"providers": [ONE], "routes": {"default": {"provider": "one", "fallbacks": fallbacks}}}, {})
    assert failure.value.problems == [problem]


def test_the_circuit_breaker_can_be_switched_off():
    assert read({}, {}).circuit_breaker
    assert not read({"performance": {"circuit_breaker_enabled": False}}, {}).circuit_breaker


AWS = {"AWS_ACCESS_KEY_ID": "AKIA0123456789ABCDEF", "AWS_SECRET_ACCESS_KEY": "se/cret", "AWS_SESSION_TOKEN": "t=="}


def bedrock(environment, **fields):
    return first({"providers": [{"name": "bedrock", **fields}]}, **environment)


def test_awss_own_variables_make_bedrock_a_provider_of_who_names_it():
    provider = read({}, AWS | {"AWS_REGION": "eu-central-1"}).providers[0]
    assert (provider.name, provider.message_format, provider.implied) == ("bedrock", "aws", True)
    assert provider.api_base_url == "https://bedrock-runtime.eu-central-1.amazonaws.com"
    assert credentials(provider.api_key.get_secret_value()) == Credentials("AKIA0123456789ABCDEF", "se/cret", "t==")
    assert names(read({}, {"AWS_ACCESS_KEY_ID": "AKIA0123456789ABCDEF"})) == ["local"]


def test_a_key_of_bedrocks_own_beats_a_pair_of_keys():
    provider = bedrock(AWS | {"AWS_BEARER_TOKEN_BEDROCK": "ABSKtoken"}, api_key="file")
    assert provider.api_key.get_secret_value() == "ABSKtoken"
    assert credentials("ABSKtoken") is None
    assert bedrock({}, api_key="file").api_key.get_secret_value() == "file"


@pytest.mark.parametrize(
    ("fields", "environment", "region"),
    [
        ({}, {}, "us-east-1"),
        ({}, {"AWS_DEFAULT_REGION": "us-west-2"}, "us-west-2"),
        ({}, {"AWS_DEFAULT_REGION": "us-west-2", "AWS_REGION": "eu-west-1"}, "eu-west-1"),
        ({"region": "ap-south-1"}, {"AWS_REGION": "eu-west-1"}, "ap-south-1"),
        ({"api_base_url": "https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com"}, {}, "us-gov-west-1"),
        ({"api_base_url": "https://vpce-1.bedrock-runtime.eu-west-3.vpce.amazonaws.com"}, {}, "eu-west-3"),
        ({"api_base_url": "http://localhost:1"}, {"AWS_REGION": "eu-west-1"}, "eu-west-1"),
    ],
)
def test_the_region_is_named_or_the_addresss_or_the_environments(fields, environment, region):
    assert bedrock(environment, **fields).region == region


def test_another_endpoint_and_another_name_for_bedrock():
    environment = AWS | {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://localhost:4566"}
    assert bedrock(environment).api_base_url == "http://localhost:4566"
    provider = first({"providers": [{"name": "mine", "message_format": "aws", "models": ["m"]}]}, **environment)
    assert provider.api_key.get_secret_value() == "AKIA0123456789ABCDEF:se/cret:t=="
    assert "region" in problems({"providers": [{"name": "bedrock", "region": "x/y"}]})[0]


def secrets(provider):
    return [(key.get_secret_value(), weight) for key, weight in provider.keys]


def test_a_provider_may_have_several_keys_with_weights():
    listed = ["k1", {"key": "${SECOND}", "weight": 3}, "${UNSET}"]
    assert secrets(first(one(api_keys=listed), SECOND="k2")) == [("k1", 1), ("k2", 3)]
    assert secrets(first(one(api_key="k0", api_keys=listed[:1]))) == [("k0", 1), ("k1", 1)]
    assert first(one(api_keys=listed)).api_key.get_secret_value() == "k1"
    assert secrets(first(one(api_key="k"))) == [("k", 1)]
    assert secrets(first(one(api_keys=listed), **KEYED)) == [("sk-env", 1)]
    assert secrets(first(one())) == []


def test_conditions_are_read():
    condition = {"type": "parameter", "name": "temperature", "operator": ">", "value": 1}
    routes = {"hot": {"provider": "local", "conditions": [condition]}}
    (predicate,) = read({"routes": routes}, {}).routes["hot"].predicates
    assert predicate == Predicate("parameter", ">", 1, "temperature")


def test_a_limit_of_requests_is_off_unless_it_is_enabled_by_file_or_variable():
    assert read({"performance": {"rate_limit_requests_per_min": 5}}, {}).requests_per_minute == 0
    enabled = {"performance": {"rate_limit_enabled": True}}
    assert read(enabled, {}).requests_per_minute == 60
    variables = {
        "CCPROXY_PERFORMANCE_RATE_LIMIT_ENABLED": "true",
        "CCPROXY_PERFORMANCE_RATE_LIMIT_REQUESTS_PER_MIN": "7",
        "CCPROXY_PERFORMANCE_CIRCUIT_BREAKER_ENABLED": "false",
        "CCPROXY_PERFORMANCE_REQUEST_TIMEOUT": "90s",
    }
    told = read({}, variables)
    assert (told.requests_per_minute, told.circuit_breaker, told.idle_seconds) == (7, False, 90.0)
    assert "rate_limit_enabled must be" in problems({}, CCPROXY_PERFORMANCE_RATE_LIMIT_ENABLED="maybe")[0]


def test_caps_of_providers_and_routes():
    document = one(max_tokens_cap=100) | {"routes": {"default": {"provider": "anthropic", "max_tokens_cap": 7}}}
    told = read(document, {})
    assert (told.providers[0].most_tokens, told.routes["default"].most_tokens) == (100, 7)
    assert "max_tokens_cap must be a whole number" in problems(one(max_tokens_cap="many"))[0]


def test_what_ccproxys_file_says_of_the_process_is_laid_under_its_own_settings():
    configuration = read({"performance": {"metrics_enabled": False}, "shutdown_timeout": "3s"}, {})
    told = as_configured(LlmProxySettings(), configuration)
    assert (told.metrics_address, told.grace_seconds) == ("off", 3.0)
    kept = as_configured(LlmProxySettings(metrics_address="127.0.0.1:0", grace_seconds=1), configuration)
    assert (kept.metrics_address, kept.grace_seconds) == ("127.0.0.1:0", 1.0)
    assert as_configured(LlmProxySettings(), read({}, {})) == LlmProxySettings()


def test_a_log_file_is_said_not_to_be_written():
    assert read({"log_file": "~/x.log"}, {}).warnings == ("log_file is not used: the log goes to standard error",)
