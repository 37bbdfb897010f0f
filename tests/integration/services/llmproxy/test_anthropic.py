import asyncio
import json
import logging
import socket
from dataclasses import replace

import pytest
from pydantic import SecretStr

from gen.llmproxy.v1 import llmproxy_pb2
from services.llmproxy.configuration import ProviderConfiguration
from services.llmproxy.upstream import Limits

KEY = "sk-planted-0123456789abcdef"
ASKED = {"model": "claude-x", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
BODY = json.dumps(ASKED).encode()
STREAM = json.dumps({**ASKED, "stream": True}).encode()
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
    "a_new_field": {"deep": [1]},
}


def event(name, **fields):
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields}, ensure_ascii=False)}\n\n".encode()


START = event("message_start", message={**MESSAGE, "content": []})
OPEN = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
HELLO = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "grüße 👋"})
CLOSE = event("content_block_stop", index=0)
DELTA = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3})
STOP = event("message_stop")
PING = event("ping")


async def test_a_plain_answer_passes_with_every_field_and_our_model_name(proxy, upstream):
    upstream.answer(200, json.dumps(MESSAGE).encode(), {"request-id": "req_9", "set-cookie": "a=b"})
    (answer,) = await proxy.answers(BODY)
    assert (answer.head.status, answer.head.provider, answer.head.model) == (200, "anthropic", "claude-x")
    assert dict(answer.head.headers) == {"request-id": "req_9"}
    assert json.loads(answer.data) == {**MESSAGE, "model": "anthropic/claude-x"}


async def test_the_request_passes_byte_for_byte_with_its_anthropic_headers_and_our_key(proxy, upstream):
    upstream.answer(200, json.dumps(MESSAGE).encode())
    odd = b'{ "model":"claude-x" ,"max_tokens":5,"new": 1.0, "messages":[{"role":"user","content":"\\u00e9"}] }'
    await proxy.answers(odd, anthropic_version="2026-10-21", anthropic_beta="a,b", x_claude_code_session_id="1")
    method, path, headers, body = upstream.requests[0]
    assert (method, path, body) == ("POST", "/v1/messages", odd)
    assert (headers["anthropic-version"], headers["anthropic-beta"]) == ("2026-10-21", "a,b")
    assert headers["x-api-key"] == KEY
    assert "Authorization" not in headers


async def test_explicit_routing_changes_nothing_but_the_model(proxy, upstream):
    upstream.answer(200, json.dumps(MESSAGE).encode())
    asked = {**ASKED, "model": "anthropic,claude-y", "thinking": {"type": "adaptive"}, "unknown": [1]}
    await proxy.answers(json.dumps(asked).encode())
    assert json.loads(upstream.requests[0][3]) == {**asked, "model": "claude-y"}


async def test_a_request_without_max_tokens_gets_the_documented_default(proxy, upstream):
    upstream.answer(200, json.dumps(MESSAGE).encode())
    await proxy.answers(b'{"model":"claude-x","messages":[{"role":"user","content":"hi"}]}')
    assert json.loads(upstream.requests[0][3])["max_tokens"] == 4096


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 529])
async def test_the_providers_errors_pass_unmodified_with_their_status(proxy, upstream, status):
    body = b'{"type":"error", "error":{"type":"x","message":"messages.1.thinking: signature"},"request_id":"r"}'
    upstream.answer(status, body, {"retry-after": "7", "x-should-retry": "false"})
    (answer,) = await proxy.answers(STREAM)
    assert (answer.head.status, answer.event, answer.data) == (status, "", body)
    assert dict(answer.head.headers) == {"retry-after": "7", "x-should-retry": "false"}


async def test_a_page_of_some_gateway_on_the_way_becomes_our_envelope(proxy, upstream):
    upstream.answer(502, b"<html>10.1.2.3 failed</html>", content_type="text/html")
    (answer,) = await proxy.answers(BODY)
    error = json.loads(answer.data)["error"]
    assert (answer.head.status, error["type"], error["code"]) == (502, "api_error", "provider_error")
    assert "html" not in error["message"]


async def test_a_redirect_is_not_followed_because_it_would_take_the_key_along(proxy, upstream):
    upstream.answer(307, b"", {"location": f"{upstream.url}/elsewhere"})
    (answer,) = await proxy.answers(BODY)
    assert answer.head.status == 502
    assert [path for _, path, _, _ in upstream.requests] == ["/v1/messages"]


async def test_a_stream_passes_event_by_event(proxy, upstream):
    upstream.stream(START, PING, OPEN, HELLO, CLOSE, DELTA, STOP)
    answers = await proxy.answers(STREAM)
    assert [answer.event for answer in answers] == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert answers[0].head.status == 200
    assert not any(answer.HasField("head") for answer in answers[1:])
    assert json.loads(answers[0].data)["message"]["model"] == "anthropic/claude-x"
    assert json.loads(answers[3].data)["delta"]["text"] == "grüße 👋"


async def test_characters_split_over_network_chunks_arrive_whole(proxy, upstream):
    whole = START + OPEN + HELLO + CLOSE + DELTA + STOP
    upstream.stream(*(whole[index : index + 1] for index in range(len(whole))))
    answers = await proxy.answers(STREAM)
    assert json.loads(answers[2].data)["delta"]["text"] == "grüße 👋"


async def test_the_first_event_arrives_while_the_provider_still_writes(proxy, upstream):
    hold = asyncio.Event()

    async def then(request, response):
        await hold.wait()
        await response.write(OPEN + CLOSE + DELTA + STOP)

    upstream.stream(START, then=then)
    call = proxy.ask(STREAM)
    async with asyncio.timeout(5):
        assert (await anext(aiter(call))).event == "message_start"
    hold.set()
    assert [answer.event async for answer in call][-1] == "message_stop"


async def cut(request, response):
    request.transport.abort()


async def test_a_cut_within_a_block_closes_the_block_and_says_error(proxy, upstream):
    upstream.stream(START, OPEN, HELLO, then=cut)
    answers = await proxy.answers(STREAM)
    assert [answer.event for answer in answers][-2:] == ["content_block_stop", "error"]
    error = json.loads(answers[-1].data)
    assert (error["type"], error["error"]["type"]) == ("error", "api_error")
    assert json.loads(answers[-2].data) == {"type": "content_block_stop", "index": 0}


async def test_an_end_without_message_stop_is_said_to_be_torn(proxy, upstream):
    upstream.stream(START, OPEN, CLOSE)
    assert [answer.event for answer in await proxy.answers(STREAM)][-2:] == ["content_block_stop", "error"]


async def test_a_cut_before_the_first_event_still_has_a_status(proxy, upstream):
    upstream.stream(then=cut)
    (answer,) = await proxy.answers(STREAM)
    assert (answer.head.status, json.loads(answer.data)["error"]["type"]) == (502, "api_error")


async def test_an_error_as_first_event_gets_the_status_it_means(proxy, upstream):
    failure = {"type": "overloaded_error", "message": "Overloaded"}
    upstream.stream(event("error", error=failure))
    (answer,) = await proxy.answers(STREAM)
    assert (answer.head.status, answer.event) == (529, "")
    assert json.loads(answer.data)["error"] == failure


async def test_an_error_in_mid_stream_passes_as_it_is_and_ends_the_stream(proxy, upstream):
    failure = {"type": "overloaded_error", "message": "Overloaded"}
    upstream.stream(START, OPEN, event("error", error=failure), HELLO)
    answers = await proxy.answers(STREAM)
    assert [answer.event for answer in answers] == ["message_start", "content_block_start", "error"]
    assert json.loads(answers[-1].data)["error"] == failure


async def test_broken_events_are_an_error_and_no_crash(proxy, upstream):
    upstream.stream(START, b"event: content_block_start\ndata: {oops\n\n")
    assert [answer.event for answer in await proxy.answers(STREAM)] == ["message_start", "error"]


async def test_a_client_that_leaves_closes_the_providers_connection(proxy, upstream):
    async def then(request, response):
        await asyncio.Event().wait()

    upstream.stream(START, then=then)
    call = proxy.ask(STREAM)
    await anext(aiter(call))
    call.cancel()
    async with asyncio.timeout(5):
        await upstream.closed.wait()


async def test_a_client_that_leaves_before_the_first_byte_closes_it_too(proxy, upstream, until):
    async def script(request):
        await asyncio.Event().wait()

    upstream.script = script
    call = proxy.ask(BODY)
    reading = asyncio.ensure_future(anext(aiter(call)))
    await until(lambda: upstream.requests)
    call.cancel()
    async with asyncio.timeout(5):
        await upstream.closed.wait()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_slow_client_slows_the_provider_instead_of_filling_the_memory(proxy, upstream, until):
    chunk = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * 65536})
    many = 2000

    async def then(request, response):
        for _ in range(many):
            await response.write(chunk)
            upstream.written += len(chunk)

    upstream.stream(START, OPEN, then=then)
    call = proxy.ask(STREAM)
    await anext(aiter(call))
    before = -1
    while before != upstream.written:  # until the provider is stuck in a write
        before = upstream.written
        await asyncio.sleep(0.3)
    assert upstream.written < many * len(chunk) / 4
    call.cancel()


async def test_a_silent_stream_gets_pings(anthropic, serve, upstream):
    hold = asyncio.Event()

    async def then(request, response):
        await hold.wait()
        await response.write(STOP)

    upstream.stream(START, then=then)
    async with serve(anthropic, ping_seconds=0.05) as proxy:
        call = proxy.ask(STREAM)
        assert (await anext(aiter(call))).event == "message_start"
        for _ in range(2):
            assert (await anext(aiter(call))).event == "ping"
        hold.set()
        assert [answer.event async for answer in call if answer.event != "ping"] == ["message_stop"]


async def test_a_provider_that_falls_silent_is_an_error_event(anthropic, serve, upstream):
    async def then(request, response):
        await asyncio.Event().wait()

    upstream.stream(START, then=then)
    async with serve(anthropic, limits=Limits(1, 5, 0.1)) as proxy:
        answers = await proxy.answers(STREAM)
    assert [answer.event for answer in answers] == ["message_start", "error"]
    assert json.loads(answers[-1].data)["error"]["type"] == "timeout_error"


async def test_a_provider_that_never_begins_is_a_504(anthropic, serve, upstream):
    async def script(request):
        await asyncio.Event().wait()

    upstream.script = script
    async with serve(anthropic, limits=Limits(1, 0.1, 5)) as proxy:
        (answer,) = await proxy.answers(BODY)
    assert (answer.head.status, json.loads(answer.data)["error"]["type"]) == (504, "timeout_error")


async def test_a_provider_nobody_listens_at_is_a_502_and_unhealthy_but_never_unready(serve):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    gone = ProviderConfiguration("anthropic", "anthropic", f"http://127.0.0.1:{port}", SecretStr(KEY))
    async with serve(gone) as proxy:
        assert proxy.health.serving("llmproxy.provider.anthropic")
        (answer,) = await proxy.answers(BODY)
        assert (answer.head.status, json.loads(answer.data)["error"]["code"]) == (502, "provider_error")
        assert not proxy.health.serving("llmproxy.provider.anthropic")
        assert proxy.health.serving()
        assert proxy.health.serving("liveness")
        status = (await proxy.stub.GetStatus(llmproxy_pb2.GetStatusRequest())).status
    assert status.state == llmproxy_pb2.LlmProxyStatus.STATE_DEGRADED
    assert [(one.name, one.healthy) for one in status.providers] == [("anthropic", False)]


async def test_a_refused_credential_makes_the_provider_unhealthy_until_it_answers_again(proxy, upstream):
    upstream.answer(401, b'{"type":"error","error":{"type":"authentication_error","message":"no"}}')
    await proxy.answers(BODY)
    assert not proxy.health.serving("llmproxy.provider.anthropic")
    upstream.answer(200, json.dumps(MESSAGE).encode())
    await proxy.answers(BODY)
    assert proxy.health.serving("llmproxy.provider.anthropic")


async def test_the_check_of_a_provider_spends_no_tokens(proxy, upstream):
    upstream.answer(200, b'{"data":[]}')
    await proxy.catalog.entries["anthropic"].provider.check(KEY)
    assert [(method, path) for method, path, _, _ in upstream.requests] == [("GET", "/v1/models")]


async def test_token_counts_are_the_providers(proxy, upstream):
    upstream.answer(200, b'{"input_tokens": 77}')
    request = llmproxy_pb2.CountTokensRequest(body=BODY, headers={"anthropic-beta": "token-counting-2024-11-01"})
    counted = await proxy.stub.CountTokens(request)
    assert (counted.input_tokens, counted.estimated) == (77, False)
    _, path, headers, _ = upstream.requests[0]
    assert (path, headers["anthropic-beta"]) == ("/v1/messages/count_tokens", "token-counting-2024-11-01")


async def test_a_provider_that_cannot_count_is_replaced_by_an_estimate_that_says_so(proxy, upstream):
    upstream.answer(404, b"{}")
    counted = await proxy.stub.CountTokens(llmproxy_pb2.CountTokensRequest(body=BODY))
    assert (counted.input_tokens, counted.estimated) == (4, True)


async def test_the_key_is_in_no_log_and_no_error(proxy, upstream, caplog):
    with caplog.at_level(logging.DEBUG):
        upstream.answer(403, f"denied for {KEY}".encode(), content_type="text/plain")
        (echoed,) = await proxy.answers(BODY)
        upstream.stream(START, then=cut)
        torn = await proxy.answers(STREAM)
        status = await proxy.stub.GetStatus(llmproxy_pb2.GetStatusRequest())
    assert echoed.head.status == 403
    assert b"[redacted]" in echoed.data
    everything = [str(record.__dict__) for record in caplog.records]
    everything += [str(answer) for answer in [echoed, *torn, status]]
    assert not any(KEY in text for text in everything)


def spent(proxy, kind):
    labels = {"provider": "anthropic", "kind": kind}
    return proxy.metrics.get_sample_value("pulsegate_llmproxy_tokens_total", labels)


async def test_tokens_are_counted_streamed_or_not_and_also_of_an_answer_that_broke_off(proxy, upstream, until):
    upstream.answer(200, json.dumps(MESSAGE).encode())
    await proxy.answers(BODY)
    await until(lambda: (spent(proxy, "input"), spent(proxy, "output")) == (1, 1))
    upstream.stream(START, OPEN, HELLO, CLOSE, DELTA, STOP)
    await proxy.answers(STREAM)
    await until(lambda: (spent(proxy, "input"), spent(proxy, "output")) == (2, 4))
    upstream.stream(START, OPEN, then=cut)
    await proxy.answers(STREAM)
    await until(lambda: spent(proxy, "input") == 3)


async def test_a_malformed_request_never_reaches_the_provider(proxy, upstream):
    (answer,) = await proxy.answers(b'{"model":"claude-x"}')
    assert (answer.head.status, json.loads(answer.data)["error"]["type"]) == (400, "invalid_request_error")
    assert upstream.requests == []


async def test_a_provider_without_a_key_is_not_asked(serve, anthropic, upstream):
    async with serve(replace(anthropic, api_key=SecretStr(""))) as proxy:
        (answer,) = await proxy.answers(BODY)
    assert answer.head.status == 404
    assert json.loads(answer.data)["error"]["code"] == "model_not_found"
    assert upstream.requests == []


@pytest.mark.parametrize(("name", "bearer"), [("anthropic", None), ("openrouter", f"Bearer {KEY}")])
async def test_others_with_this_format_get_the_key_in_both_headers(serve, upstream, name, bearer):
    upstream.answer(200, b'{"type":"message","model":"m","content":[],"usage":{}}')
    provider = ProviderConfiguration(name, "anthropic", upstream.url, SecretStr(KEY))
    async with serve(provider) as proxy:
        await proxy.answers(json.dumps({**ASKED, "model": f"{name},m"}).encode())
    headers = {header.lower(): value for header, value in upstream.requests[0][2].items()}
    assert (headers["x-api-key"], headers.get("authorization")) == (KEY, bearer)
