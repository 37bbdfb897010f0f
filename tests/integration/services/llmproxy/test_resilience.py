"""Requests whose provider fails: asked again, answered by another one, or told; never two halves of two answers."""

import asyncio
import json

import pytest
from aiohttp import web
from pydantic import SecretStr

from services.llmproxy.configuration import ProviderConfiguration
from services.llmproxy.embedded import EngineSettings
from services.llmproxy.resilience import FAILURES_TO_OPEN
from services.llmproxy.routing import Route

ASKED = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
BODY = json.dumps(ASKED).encode()
STREAM = json.dumps({**ASKED, "stream": True}).encode()
WHOLE = {"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}
MESSAGE = {"type": "message", "model": "m", "content": [{"type": "text", "text": "hello"}], "usage": {}}


class Plan:
    """What each provider answers, call by call; the last answer is repeated."""

    def __init__(self, upstream):
        self.asked = []
        self.answers = {}
        upstream.script = self._script

    async def _script(self, request):
        name = request.path.split("/")[1]
        self.asked.append(name)
        answers = self.answers[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            return await answer(request)
        if isinstance(answer, dict):
            return web.json_response(answer)
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        error = {"type": "error", "error": {"type": "api_error", "message": f"{name} says {status}"}}
        return web.json_response(error, status=status, headers=headers)


@pytest.fixture
def plan(upstream):
    return Plan(upstream)


@pytest.fixture
def provider(upstream):
    def make(name, message_format="openai", models=("m",)):
        return ProviderConfiguration(name, message_format, f"{upstream.url}/{name}/v1", SecretStr("sk-x"), models)

    return make


def told(answer):
    body = json.loads(answer.data)
    return answer.head.status, answer.head.provider, (body.get("error") or {}).get("message")


@pytest.mark.parametrize(("message_format", "whole"), [("openai", WHOLE), ("anthropic", MESSAGE)])
async def test_a_failure_that_a_moment_heals_is_not_seen(serve, plan, provider, message_format, whole):
    plan.answers["one"] = [503, whole]
    async with serve(provider("one", message_format), retries=1) as proxy:
        (answer,) = await proxy.answers(BODY)
        unseen = {"provider": "one", "status": "503"}
        assert proxy.metrics.get_sample_value("pulsegate_llmproxy_unseen_failures_total", unseen) == 1
    assert told(answer) == (200, "one", None)
    assert plan.asked == ["one", "one"]


@pytest.mark.parametrize("message_format", ["openai", "anthropic"])
async def test_a_failure_that_stays_is_told_in_the_providers_words(serve, plan, provider, message_format):
    plan.answers["one"] = [500, 503]
    async with serve(provider("one", message_format), retries=1) as proxy:
        (answer,) = await proxy.answers(STREAM)
    assert told(answer) == (503, "one", "one says 503")
    assert plan.asked == ["one", "one"]


@pytest.mark.parametrize("answer", [400, 429, (503, {"retry-after": "60"}), (503, {"x-should-retry": "false"})])
async def test_what_asking_again_cannot_heal_is_told_at_once(serve, plan, provider, answer):
    plan.answers["one"] = [answer]
    async with serve(provider("one"), retries=3) as proxy:
        await proxy.answers(BODY)
    assert plan.asked == ["one"]


@pytest.mark.parametrize("failure", [500, 503, 504, 429, 401, 404])
async def test_the_next_provider_that_lists_the_model_answers_instead(serve, plan, provider, failure):
    plan.answers.update(one=[failure], two=[MESSAGE])
    async with serve(provider("one"), provider("two", "anthropic")) as proxy:
        (answer,) = await proxy.answers(BODY)
    assert told(answer) == (200, "two", None)
    assert plan.asked == ["one", "two"]


async def test_a_request_that_is_at_fault_itself_goes_nowhere_else(serve, plan, provider):
    plan.answers.update(one=[400], two=[WHOLE])
    async with serve(provider("one"), provider("two")) as proxy:
        (answer,) = await proxy.answers(BODY)
    assert told(answer) == (400, "one", "one says 400")
    assert plan.asked == ["one"]


async def test_a_routes_fallbacks_are_asked_in_order_each_for_its_model(serve, plan, provider, upstream):
    plan.answers.update(one=[503], two=[503], three=[WHOLE])
    routes = {"default": Route("one", "big", {}, (("two", "middle"), ("three", "")))}
    async with serve(*map(provider, ("one", "two", "three")), routes=routes) as proxy:
        (answer,) = await proxy.answers(BODY)
    assert told(answer) == (200, "three", None)
    assert [json.loads(sent)["model"] for *_, sent in upstream.requests] == ["big", "middle", "m"]


async def test_a_provider_nobody_listens_at_is_passed_over(serve, plan, provider):
    gone = ProviderConfiguration("gone", "openai", "http://127.0.0.1:1/v1", SecretStr("x"), ("m",))
    plan.answers["two"] = [WHOLE]
    async with serve(gone, provider("two")) as proxy:
        (answer,) = await proxy.answers(BODY)
    assert told(answer) == (200, "two", None)


async def test_an_embedded_model_that_is_not_there_is_passed_over(serve, plan, provider):
    plan.answers["two"] = [WHOLE]
    routes = {"default": Route("local", "", {}, (("two", ""),))}
    local = ProviderConfiguration("local", "local")
    async with serve(local, provider("two"), routes=routes, engine=EngineSettings(None), retries=5) as proxy:
        (answer,) = await proxy.answers(BODY)
    assert told(answer) == (200, "two", None)


async def test_nothing_is_tried_again_once_a_byte_was_told(serve, plan, provider):
    async def torn(request):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"choices":[{"index":0,"delta":{"content":"half"}}]}\n\n')
        request.transport.abort()
        return response

    plan.answers.update(one=[torn], two=[WHOLE])
    async with serve(provider("one"), provider("two"), retries=1) as proxy:
        answers = await proxy.answers(STREAM)
    assert answers[-1].event == "error"
    assert [answer.event for answer in answers].count("message_start") == 1
    assert plan.asked == ["one"]


async def test_a_provider_that_keeps_failing_is_asked_last_but_the_last_one_always(serve, plan, provider):
    plan.answers.update(one=[503], two=[WHOLE])
    async with serve(provider("one"), provider("two")) as proxy:
        for _ in range(FAILURES_TO_OPEN + 2):
            assert told((await proxy.answers(BODY))[0])[:2] == (200, "two")
        assert plan.asked[-3:] == ["two", "two", "two"]
        plan.answers.update(one=[WHOLE], two=[503])
        assert told((await proxy.answers(BODY))[0])[:2] == (200, "one")


async def test_the_only_provider_is_asked_however_often_it_failed(serve, plan, provider):
    plan.answers["one"] = [503]
    async with serve(provider("one")) as proxy:
        for _ in range(FAILURES_TO_OPEN + 2):
            await proxy.answers(BODY)
        plan.answers["one"] = [WHOLE]
        (answer,) = await proxy.answers(BODY)
    assert told(answer) == (200, "one", None)


async def test_a_client_that_leaves_ends_the_waiting(serve, plan, provider, until):
    plan.answers["one"] = [(503, {"retry-after": "3"})]
    async with serve(provider("one"), retries=1) as proxy:
        call = proxy.ask(BODY)
        reading = asyncio.ensure_future(anext(aiter(call)))
        await until(lambda: plan.asked == ["one"])
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await until(lambda: proxy.metrics.get_sample_value("pulsegate_llmproxy_requests_running") == 0)
    assert plan.asked == ["one"]
