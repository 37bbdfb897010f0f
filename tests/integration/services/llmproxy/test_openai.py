import asyncio
import json
import logging

import pytest
from pydantic import SecretStr

from gen.llmproxy.v1 import llmproxy_pb2
from services.llmproxy.configuration import ProviderConfiguration

KEY = "sk-planted-0123456789abcdef"
ASKED = {"model": "openai,gpt-4o", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
BODY = json.dumps(ASKED).encode()
STREAM = json.dumps({**ASKED, "stream": True}).encode()
USAGE = {"prompt_tokens": 9, "completion_tokens": 3}


def data(document):
    return (
        b"data: "
        + (document if isinstance(document, bytes) else json.dumps(document, ensure_ascii=False).encode())
        + b"\n\n"
    )


def chunk(finish_reason=None, **delta):
    return data({"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}], "usage": None})


HELLO = chunk(content="grüße 👋")
STOP = chunk("stop")
LATE_USAGE = data({"choices": [], "usage": USAGE})
DONE = data(b"[DONE]")
WHOLE = {"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}], "usage": USAGE}


@pytest.fixture
def openai(upstream):
    return ProviderConfiguration("openai", "openai", f"{upstream.url}/v1", SecretStr(KEY))


@pytest.fixture
async def proxy(serve, openai):
    async with serve(openai) as proxy:
        yield proxy


def names(answers):
    return [answer.event for answer in answers]


def usage(answers):
    return next(json.loads(answer.data)["usage"] for answer in answers if answer.event == "message_delta")


async def test_a_plain_answer_is_a_message(proxy, upstream):
    upstream.answer(200, json.dumps(WHOLE).encode())
    (answer,) = await proxy.answers(BODY)
    message = json.loads(answer.data)
    assert (answer.head.status, answer.head.provider, answer.head.model) == (200, "openai", "gpt-4o")
    assert message["id"].startswith("msg_")
    assert (message["type"], message["model"], message["stop_reason"]) == ("message", "openai/gpt-4o", "end_turn")
    assert message["content"] == [{"type": "text", "text": "hello"}]
    method, path, headers, sent = upstream.requests[0]
    assert (method, path, headers["Authorization"]) == ("POST", "/v1/chat/completions", f"Bearer {KEY}")
    assert json.loads(sent)["model"] == "gpt-4o"


async def test_an_answer_without_usage_says_that_it_was_estimated(proxy, upstream):
    upstream.answer(200, json.dumps({**WHOLE, "usage": None}).encode())
    (answer,) = await proxy.answers(BODY)
    assert answer.head.headers["x-usage-estimated"] == "true"
    assert json.loads(answer.data)["usage"]["output_tokens"] > 0


async def test_a_stream_waits_for_the_usage_that_comes_last(proxy, upstream):
    upstream.stream(chunk(role="assistant", content=""), HELLO, STOP, LATE_USAGE, DONE)
    answers = await proxy.answers(STREAM)
    assert names(answers) == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert json.loads(answers[2].data)["delta"]["text"] == "grüße 👋"
    assert (usage(answers)["input_tokens"], usage(answers)["output_tokens"]) == (9, 3)
    assert json.loads(upstream.requests[0][3])["stream_options"] == {"include_usage": True}


async def test_characters_and_lines_split_anywhere_arrive_whole(proxy, upstream):
    whole = (b": PROCESSING\n\n" + HELLO + STOP + LATE_USAGE + DONE).replace(b"\n", b"\r\n")
    upstream.stream(*(whole[index : index + 1] for index in range(len(whole))))
    answers = await proxy.answers(STREAM)
    assert json.loads(answers[2].data)["delta"]["text"] == "grüße 👋"
    assert usage(answers)["output_tokens"] == 3


@pytest.mark.parametrize("end", [[STOP], [STOP, DONE], [DONE], []])
async def test_an_end_is_an_end_however_it_is_said(proxy, upstream, end):
    upstream.stream(HELLO, *end)
    answers = await proxy.answers(STREAM)
    assert names(answers)[-2:] == ["message_delta", "message_stop"]
    assert json.loads(answers[-2].data)["delta"]["stop_reason"] == "end_turn"


async def test_the_end_is_told_at_done_even_if_the_connection_stays_open(proxy, upstream):
    async def then(request, response):
        await asyncio.Event().wait()

    upstream.stream(HELLO, STOP, LATE_USAGE, DONE, then=then)
    async with asyncio.timeout(10):
        assert names(await proxy.answers(STREAM))[-1] == "message_stop"
        await upstream.closed.wait()


async def cut(request, response):
    request.transport.abort()


async def test_a_cut_closes_the_block_and_says_error(proxy, upstream):
    upstream.stream(HELLO, then=cut)
    answers = await proxy.answers(STREAM)
    assert names(answers)[-2:] == ["content_block_stop", "error"]
    assert json.loads(answers[-1].data)["error"]["type"] == "api_error"


@pytest.mark.parametrize("chunks", [[], [DONE]])
async def test_an_answer_of_nothing_is_a_502(proxy, upstream, chunks):
    upstream.stream(*chunks)
    (answer,) = await proxy.answers(STREAM)
    assert (answer.head.status, json.loads(answer.data)["error"]["type"]) == (502, "api_error")


async def test_an_error_instead_of_the_first_chunk_keeps_its_status(proxy, upstream):
    upstream.stream(data({"error": {"message": "slow down", "code": 429}}))
    (answer,) = await proxy.answers(STREAM)
    assert (answer.head.status, json.loads(answer.data)["error"]["type"]) == (429, "rate_limit_error")


async def test_an_error_in_mid_stream_is_the_last_event(proxy, upstream):
    upstream.stream(HELLO, data({"error": {"message": "lost it", "code": 502}}))
    answers = await proxy.answers(STREAM)
    assert names(answers)[-2:] == ["content_block_stop", "error"]
    assert json.loads(answers[-1].data)["error"]["message"] == "lost it"


async def test_a_broken_chunk_is_an_error_and_no_crash(proxy, upstream):
    upstream.stream(HELLO, data(b"{oops"))
    assert names(await proxy.answers(STREAM))[-1] == "error"


async def test_a_whole_body_where_a_stream_was_asked_for_is_told_as_events(proxy, upstream):
    upstream.answer(200, json.dumps(WHOLE).encode())
    answers = await proxy.answers(STREAM)
    assert (names(answers)[0], names(answers)[-1]) == ("message_start", "message_stop")


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_an_error_has_its_status_our_envelope_and_the_vendors_words(proxy, upstream, status):
    upstream.answer(status, b'{"error":{"message":"no such model","type":"x","code":"y"}}', {"retry-after": "3"})
    (answer,) = await proxy.answers(STREAM)
    error = json.loads(answer.data)["error"]
    assert (answer.head.status, answer.event, error["message"]) == (status, "", "no such model")
    assert (error["code"], error["details"]) == ("provider_error", {"provider": "openai"})
    assert answer.head.headers["retry-after"] == "3"


@pytest.mark.parametrize("body", [b"<html>oops</html>", b"[]", b"null", b'{"detail":"x"}'])
@pytest.mark.parametrize("status", [200, 500])
async def test_a_body_that_is_no_completion_is_an_error(proxy, upstream, status, body):
    upstream.answer(status, body)
    (answer,) = await proxy.answers(BODY)
    assert answer.head.status == (502 if status == 200 else 500)
    assert b"html" not in answer.data


@pytest.mark.parametrize(
    "document", [{"choices": 7}, {"choices": [{"delta": {"tool_calls": [{"function": 3}]}}]}, [], 5, {"usage": "x"}]
)
async def test_a_chunk_of_another_shape_is_an_error_and_no_crash(proxy, upstream, document):
    upstream.stream(HELLO, data(document))
    answers = await proxy.answers(STREAM)
    assert names(answers)[-2:] == ["content_block_stop", "error"]


@pytest.mark.parametrize("fields", [{"tools": "x"}, {"system": [7]}, {"tools": [{}]}, {"stop_sequences": 7}])
async def test_a_request_that_cannot_be_translated_is_a_400(proxy, upstream, fields):
    (answer,) = await proxy.answers(json.dumps({**ASKED, **fields}).encode())
    assert (answer.head.status, json.loads(answer.data)["error"]["type"]) == (400, "invalid_request_error")
    assert upstream.requests == []


async def test_a_client_that_leaves_closes_the_vendors_connection(proxy, upstream):
    async def then(request, response):
        await asyncio.Event().wait()

    upstream.stream(HELLO, then=then)
    call = proxy.ask(STREAM)
    await anext(aiter(call))
    call.cancel()
    async with asyncio.timeout(5):
        await upstream.closed.wait()


async def test_the_key_is_in_no_log_and_no_error(proxy, upstream, caplog):
    with caplog.at_level(logging.DEBUG):
        upstream.answer(401, json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}}).encode())
        (answer,) = await proxy.answers(BODY)
    assert b"[redacted]" in answer.data
    assert not any(KEY in text for text in [str(answer), *(str(record.__dict__) for record in caplog.records)])


async def test_tokens_are_estimated_because_the_format_cannot_count(proxy):
    counted = await proxy.stub.CountTokens(llmproxy_pb2.CountTokensRequest(body=BODY))
    assert (counted.estimated, counted.input_tokens > 0) == (True, True)


async def test_a_conversation_may_change_to_anthropic_without_foreign_thoughts(serve, openai, anthropic, upstream):
    upstream.stream(chunk(reasoning_content="hm"), HELLO, STOP, DONE)
    async with serve(openai, anthropic) as proxy:
        answers = await proxy.answers(STREAM)
        signature = next(
            fields["delta"]["signature"]
            for fields in (json.loads(answer.data) for answer in answers)
            if fields.get("delta", {}).get("type") == "signature_delta"
        )
        thought = {"type": "thinking", "thinking": "hm", "signature": signature}
        theirs = {"type": "thinking", "thinking": "own", "signature": "EqQBCgIYAhIM"}
        turns = [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [thought, theirs, {"type": "text", "text": "x"}]},
            {"role": "user", "content": "go on"},
        ]
        upstream.answer(200, b'{"type":"message","model":"claude-x","content":[]}')
        asked = {**ASKED, "model": "anthropic,claude-x", "messages": turns}
        await proxy.answers(json.dumps(asked).encode())
    sent = json.loads(upstream.requests[-1][3])
    assert sent["messages"][1]["content"] == [theirs, {"type": "text", "text": "x"}]
    assert {**sent, "messages": 0} == {**asked, "model": "claude-x", "messages": 0}
