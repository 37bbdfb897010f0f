"""Several keys of one provider share its requests; one that is refused or used up is not the end of a request."""

import json
from collections import Counter

import pytest
from aiohttp import web
from pydantic import SecretStr

from services.llmproxy.configuration import ProviderConfiguration

ASKED = {"model": "openai,m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
BODY = json.dumps(ASKED).encode()
WHOLE = {"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}


class Vendor:
    """Answers 200 to every key but those that it was told to refuse."""

    def __init__(self, upstream):
        self.keys = []
        self.refused = {}
        upstream.script = self._script

    async def _script(self, request):
        key = request.headers["authorization"].removeprefix("Bearer ")
        self.keys.append(key)
        if key in self.refused:
            error = {"error": {"message": f"no {key}"}}
            return web.json_response(error, status=self.refused[key], headers={"retry-after": "20"})
        return web.json_response(WHOLE)


@pytest.fixture
def vendor(upstream):
    return Vendor(upstream)


@pytest.fixture
def provider(upstream):
    keys = tuple((SecretStr(f"sk-planted-{name}"), weight) for name, weight in (("aaaa", 3), ("bbbb", 1)))
    return ProviderConfiguration("openai", "openai", f"{upstream.url}/v1", keys[0][0], api_keys=keys)


async def test_every_key_has_its_share(serve, vendor, provider):
    async with serve(provider) as proxy:
        for _ in range(8):
            await proxy.answers(BODY)
    assert Counter(vendor.keys) == {"sk-planted-aaaa": 6, "sk-planted-bbbb": 2}


@pytest.mark.parametrize("status", [401, 402, 403, 429])
async def test_another_key_answers_at_once_and_the_first_one_rests(serve, vendor, provider, status):
    vendor.refused["sk-planted-aaaa"] = status
    async with serve(provider) as proxy:
        answers = [(await proxy.answers(BODY))[0] for _ in range(3)]
        assert proxy.catalog.entries["openai"].condition.healthy
    assert [answer.head.status for answer in answers] == [200, 200, 200]
    if status in (401, 429):
        assert vendor.keys == ["sk-planted-aaaa", *["sk-planted-bbbb"] * 3]


async def test_a_failure_of_the_vendor_is_not_tried_with_every_key(serve, vendor, provider):
    vendor.refused = dict.fromkeys(["sk-planted-aaaa", "sk-planted-bbbb"], 500)
    async with serve(provider) as proxy:
        (answer,) = await proxy.answers(BODY)
    assert (answer.head.status, len(vendor.keys)) == (500, 1)


async def test_health_falls_with_the_last_key_and_no_key_is_told(serve, vendor, provider):
    vendor.refused = dict.fromkeys(["sk-planted-aaaa", "sk-planted-bbbb"], 401)
    async with serve(provider) as proxy:
        condition = proxy.catalog.entries["openai"].condition
        (answer,) = await proxy.answers(BODY)
        assert (answer.head.status, condition.healthy, len(vendor.keys)) == (401, False, 2)
        assert b"planted" not in answer.data
        vendor.refused.clear()
        await proxy.catalog.recheck()
        assert condition.healthy


async def test_a_client_that_asks_too_often_is_told_when_it_may_again(serve, vendor, provider):
    async with serve(provider, requests_per_minute=2) as proxy:
        answers = [(await proxy.answers(BODY))[0] for _ in range(3)]
    assert [answer.head.status for answer in answers] == [200, 200, 429]
    error = json.loads(answers[2].data)["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert error["details"] == {"limit": 2, "remaining": 0, "retry_after": 30}
    assert answers[2].head.headers["retry-after"] == "30"
    assert len(vendor.keys) == 2


@pytest.mark.parametrize(("asked", "sent"), [(5, 5), (500, 100), (None, 100)])
@pytest.mark.parametrize("message_format", ["openai", "anthropic", "google"])
async def test_a_cap_holds_in_every_format(serve, upstream, asked, sent, message_format):
    upstream.answer(400, b'{"error":{"type":"x","message":"no"}}')
    provider = ProviderConfiguration("p", message_format, f"{upstream.url}/v1", SecretStr("k"), ("m",), most_tokens=100)
    body = {"model": "p,m", "messages": ASKED["messages"]} | ({"max_tokens": asked} if asked else {})
    async with serve(provider) as proxy:
        await proxy.answers(json.dumps(body).encode())
    wanted = json.loads(upstream.requests[0][3])
    assert wanted.get("max_tokens", wanted.get("generationConfig", {}).get("maxOutputTokens")) == sent


async def test_a_model_that_nobody_has_is_told_with_those_that_there_are(serve, upstream):
    provider = ProviderConfiguration("p", "openai", f"{upstream.url}/v1", SecretStr("k"), ("m1", "m2"))
    async with serve(provider) as proxy:
        (answer,) = await proxy.answers(json.dumps({**ASKED, "model": "other"}).encode())
    error = json.loads(answer.data)["error"]
    assert (answer.head.status, error["code"]) == (404, "model_not_found")
    assert {"m1", "p,m2", "claude-via-p-m1"} <= set(error["details"]["available_models"])
