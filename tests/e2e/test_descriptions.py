"""Schemathesis before the real processes: whatever a façade's description allows, or nearly, is answered as it says."""

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.e2e.system import START_SECONDS, wait_for
from tests.e2e.vendor import serving_vendor

CHECKS = [content_type_conformance, response_schema_conformance, status_code_conformance]
STREAMS_WITHOUT_END = "/events$"
FEW = hypothesis.settings(
    max_examples=8,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)


@schemathesis.serializer("application/sdp", "application/trickle-ice-sdpfrag")
def as_text(_context, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


def attack(url):
    """Send what the description allows, and what it does not, to every operation of a façade."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json").exclude(path_regex=STREAMS_WITHOUT_END)
    statuses = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        can_be_wrong = len(operation.body) or len(operation.query)
        for mode in GenerationMode if can_be_wrong else [GenerationMode.POSITIVE]:

            @FEW
            @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
            def ask(case):
                answer = case.call(base_url=url, timeout=30)
                assert answer.status_code < 500 or answer.status_code == 503, answer.text
                case.validate_response(answer, checks=CHECKS)
                statuses.add(answer.status_code)

            ask()
    return statuses


@pytest.mark.parametrize("name", ["converter", "media", "operator"])
def test_whatever_is_asked_of_a_facade_is_answered_as_described(system, name):
    assert 200 in attack(system.url(name))
    assert system.all_serving()


def test_whatever_is_asked_of_the_llm_proxy_is_answered_as_described(own_system):
    with serving_vendor(own_system):
        own_system.start("llmproxy", "gateway")
        wait_for(lambda: (own_system.states() or {}).get("llmproxy") == "serving", START_SECONDS, "the proxy to serve")
        assert {200, 201, 400, 404} <= attack(own_system.url("llmproxy"))
        assert own_system.states()["llmproxy"] == "serving"
