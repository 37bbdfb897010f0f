import json

import pytest
from pydantic import SecretStr

from gen.llmproxy.v1 import llmproxy_pb2
from services.llmproxy.configuration import ProviderConfiguration

KEY = "AIzaPlanted0123456789abcdef"
ASKED = {"model": "gemini,gemini-2.5-pro", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
BODY = json.dumps(ASKED).encode()
STREAM = json.dumps({**ASKED, "stream": True}).encode()
WHOLE = {
    "candidates": [{"content": {"parts": [{"text": "grüße"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 2, "candidatesTokenCount": 3},
}


@pytest.fixture(params=["", "/v1beta", "/v1beta/models"])
async def proxy(serve, upstream, request):
    async with serve(ProviderConfiguration("gemini", "google", upstream.url + request.param, SecretStr(KEY))) as proxy:
        yield proxy


async def test_a_plain_answer(proxy, upstream):
    upstream.answer(200, json.dumps(WHOLE).encode())
    (answer,) = await proxy.answers(BODY)
    message = json.loads(answer.data)
    assert (message["content"][0]["text"], message["usage"]["output_tokens"]) == ("grüße", 3)
    _, path, headers, _ = upstream.requests[0]
    assert path == "/v1beta/models/gemini-2.5-pro:generateContent"
    assert headers["x-goog-api-key"] == KEY


async def test_a_stream(proxy, upstream):
    upstream.stream(b"data: " + json.dumps(WHOLE).encode() + b"\r\n\r\n")
    answers = await proxy.answers(STREAM)
    assert [answer.event for answer in answers][-1] == "message_stop"
    assert upstream.requests[0][1] == "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"


async def test_an_error_of_a_stream_comes_in_a_list(proxy, upstream):
    upstream.answer(400, b'[{"error":{"code":400,"message":"Invalid JSON payload","status":"INVALID_ARGUMENT"}}]')
    (answer,) = await proxy.answers(STREAM)
    assert (answer.head.status, json.loads(answer.data)["error"]["message"]) == (400, "Invalid JSON payload")


async def test_tokens_are_counted_by_the_vendor(proxy, upstream):
    upstream.answer(200, b'{"totalTokens": 31}')
    counted = await proxy.stub.CountTokens(llmproxy_pb2.CountTokensRequest(body=BODY))
    assert (counted.input_tokens, counted.estimated) == (31, False)
    assert upstream.requests[0][1] == "/v1beta/models/gemini-2.5-pro:countTokens"
