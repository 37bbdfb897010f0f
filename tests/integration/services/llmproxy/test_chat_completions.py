"""OpenAI's clients in front of any provider: over HTTP, the gateway's own parts, gRPC, a provider."""

import asyncio
import json

import aiohttp
import pytest

ASKED = {"model": "claude-x", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
MESSAGE = {
    "type": "message",
    "model": "claude-x",
    "content": [{"type": "text", "text": "grüße"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 2},
}


def event(name, **fields):
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


EVENTS = [
    event("message_start", message={**MESSAGE, "content": []}),
    event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    event("content_block_delta", index=0, delta={"type": "text_delta", "text": "grüße"}),
    event("content_block_stop", index=0),
    event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3}),
    event("message_stop"),
]


@pytest.fixture
async def post(proxy, until, gateway):
    async with gateway(proxy.address, until) as url, aiohttp.ClientSession() as session:
        yield lambda **fields: session.post(f"{url}/v1/chat/completions", json={**ASKED, **fields})


async def test_a_plain_answer(post, upstream):
    upstream.answer(200, json.dumps(MESSAGE).encode())
    async with post() as answer:
        told = await answer.json()
    assert (answer.status, told["object"], told["choices"][0]["message"]["content"]) == (
        200,
        "chat.completion",
        "grüße",
    )
    assert answer.headers["x-provider"] == "anthropic"
    assert json.loads(upstream.requests[0][3])["messages"][0]["content"] == [{"type": "text", "text": "hi"}]


async def test_a_stream_has_nameless_events_and_ends_with_done(post, upstream):
    upstream.stream(*EVENTS)
    async with post(stream=True, stream_options={"include_usage": True}) as answer:
        assert answer.content_type == "text/event-stream"
        lines = [line for line in (await answer.read()).decode().split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    assert json.loads(lines[-2].removeprefix("data: "))["usage"]["completion_tokens"] == 3


async def test_a_silent_stream_gets_comments(anthropic, serve, upstream, until, gateway):
    hold = asyncio.Event()

    async def then(request, response):
        await hold.wait()
        await response.write(EVENTS[-1])

    upstream.stream(*EVENTS[:-1], then=then)
    async with (
        serve(anthropic, ping_seconds=0.05) as proxy,
        gateway(proxy.address, until) as url,
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/chat/completions", json={**ASKED, "stream": True}) as answer,
    ):
        async with asyncio.timeout(10):
            while (line := await answer.content.readline()) != b": ping\n":
                assert line
            hold.set()
            lines = (await answer.content.read()).split(b"\n\n")
    assert [line.strip() for line in lines[-2:]] == [b"data: [DONE]", b""]


async def test_an_error_keeps_its_status(post, upstream):
    upstream.answer(429, b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}', {"retry-after": "4"})
    async with post(stream=True) as answer:
        told = await answer.json()
    assert (answer.status, answer.headers["retry-after"], told["error"]["message"]) == (429, "4", "slow")


async def test_a_request_that_cannot_be_said_is_a_400(post, upstream):
    async with post(n=3) as answer:
        told = await answer.json()
    assert (answer.status, told["error"]["type"]) == (400, "invalid_request_error")
    assert upstream.requests == []


async def test_a_client_that_hangs_up_is_felt_by_the_provider(post, upstream):
    async def then(request, response):
        await asyncio.Event().wait()

    upstream.stream(EVENTS[0], then=then)
    answer = await post(stream=True)
    answer.close()
    async with asyncio.timeout(10):
        await upstream.closed.wait()
