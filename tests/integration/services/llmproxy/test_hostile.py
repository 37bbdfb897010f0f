"""Strangers on both sides: whatever a client sends and a vendor answers, no failure of ours and no key of anybody's."""

import asyncio
import json
import logging
import re
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import hypothesis
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from pydantic import SecretStr

from services.llmproxy.configuration import ProviderConfiguration
from tests.shapes import FIELDS, JSON, KEYS, MESSAGES

PLANTED = re.compile(rb"zebra|quagga")
OURS = "zebra.client.key"
VENDORS = {
    "anthropic": ("anthropic", "zebra.of.anthropic"),
    "openai": ("openai", "zebra.of.openai"),
    "gemini": ("google", "zebra.of.gemini"),
    "bedrock": ("aws", "AKIA0123456789ZEBRA0:zebra/secret/of/aws:quagga=token="),
}
MODELS = ["anthropic,m", "openai,m", "gemini,m", "bedrock,m", "bedrock,anthropic.claude-m"]
SOME = hypothesis.settings(
    max_examples=80,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
TYPES = ["application/json", "text/event-stream", "application/vnd.amazon.eventstream", "text/html"]
WHOLE = {
    "anthropic": {"type": "message", "model": "m", "content": [], "usage": {}},
    "openai": {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]},
    "gemini": {"candidates": [{"content": {"parts": [{"text": "yes"}]}, "finishReason": "STOP"}]},
    "bedrock": {"output": {"message": {"content": [{"text": "yes"}]}}, "stopReason": "end_turn", "usage": {}},
}
BODIES = st.fixed_dictionaries(
    {"model": st.sampled_from(MODELS), "messages": MESSAGES, "stream": st.booleans(), "max_tokens": st.just(5)}
)


@st.composite
def requests(draw):
    return {**draw(BODIES), **draw(st.dictionaries(FIELDS, JSON, max_size=3))}


@st.composite
def answers(draw, frame):
    """A vendor's answer: its status, its type, and what may be events, frames, a document or none of them."""
    documents = draw(st.lists(st.dictionaries(KEYS, JSON, max_size=3), max_size=3))
    written = [json.dumps(one).encode() for one in documents]
    shapes = {
        "document": b"".join(written[:1]),
        "events": b"".join(b"data: %s\n\n" % one for one in written),
        "frames": b"".join(
            frame(one, event_type=draw(st.sampled_from(["chunk", "contentBlockDelta"]))) for one in written
        ),
        "noise": draw(st.binary(max_size=40)),
    }
    status = draw(st.sampled_from([200, 200, 200, 302, 400, 401, 403, 404, 418, 429, 500, 503, 529]))
    return status, draw(st.sampled_from(TYPES)), shapes[draw(st.sampled_from(sorted(shapes)))]


class Vendor:
    """Answers what the example says; a refusal says back every credential it was sent."""

    def __init__(self, upstream):
        self.answer = None
        upstream.script = self._script

    async def _script(self, request):
        if self.answer is None:
            return web.json_response(WHOLE[self._name(request)])
        status, content_type, body = self.answer
        said = " ".join(
            value for name, value in request.headers.items() if "key" in name.lower() or name == "Authorization"
        )
        if status >= 400:
            error = {"error": {"type": "x", "message": f"wrong: {said}"}, "message": f"wrong: {said}"}
            body = json.dumps(error).encode()
        return web.Response(status=status, body=body, content_type=content_type)

    def _name(self, request):
        return "anthropic" if "claude" in request.path else request.path.split("/")[1]


@pytest.fixture
def vendor(upstream):
    return Vendor(upstream)


@pytest.fixture
async def url(serve, upstream, until, gateway, vendor, caplog):
    """The façade; afterwards no key is to be found anywhere."""
    caplog.set_level(logging.DEBUG)
    providers = [
        ProviderConfiguration(name, kind, f"{upstream.url}/{name}", SecretStr(key), region="us-east-1")
        for name, (kind, key) in VENDORS.items()
    ]
    async with serve(*providers) as proxy, gateway(proxy.address, until, llmproxy_key=OURS) as url:
        yield url
        for path in ("/status", "/health", "/providers", "/usage", "/usage/requests", "/v1/models"):
            status, head, body = await asyncio.to_thread(send, url + path)
            assert status == 200
            assert not PLANTED.search(head + body)
        assert not PLANTED.search(generate_latest(proxy.metrics))
    assert not PLANTED.search(str([vars(record) for record in caplog.records]).encode())


def send(url, body=None):
    headers = {"x-api-key": OURS, "content-type": "application/json"}
    try:
        with urlopen(Request(url, body, headers), timeout=30) as answer:
            return answer.status, str(answer.headers).encode(), answer.read()
    except HTTPError as refusal:
        return refusal.code, str(refusal.headers).encode(), refusal.read()


def ask(url, document):
    status, head, body = send(f"{url}/v1/messages", json.dumps(document).encode())
    assert not PLANTED.search(head + body)
    if status != 200:
        told = json.loads(body)
        assert isinstance(told["error"], dict)
    elif b"event-stream" in head:
        last = body.strip().rpartition(b"event: ")[2]
        assert last.startswith((b"message_stop", b"error"))
    else:
        assert json.loads(body)["type"] == "message"
    return status


async def test_whatever_a_client_asks_is_answered_or_refused_as_its_fault(url):
    @SOME
    @given(document=requests())
    def fuzz(document):
        assert ask(url, document) in (200, 400)

    await asyncio.to_thread(fuzz)


async def test_whatever_a_vendor_answers_is_told_or_said_to_be_broken(url, vendor, frame):
    @SOME
    @given(answer=answers(frame), model=st.sampled_from(MODELS), stream=st.booleans())
    def fuzz(answer, model, stream):
        vendor.answer = answer
        messages = [{"role": "user", "content": "hi"}]
        status = ask(url, {"model": model, "messages": messages, "stream": stream, "max_tokens": 5})
        assert status in (200, 400, 401, 402, 403, 404, 413, 418, 429, 502, 503, 504, 529) or status == answer[0]

    await asyncio.to_thread(fuzz)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_a_key_that_a_vendor_says_back_goes_no_further(url, vendor, status, stream):
    vendor.answer = (status, "application/json", b"")
    for model in MODELS:
        asked = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": stream, "max_tokens": 5}
        assert await asyncio.to_thread(ask, url, asked) == status


@pytest.mark.parametrize(
    ("model", "before", "said"),
    [
        ("openai,m", b"", b'data: {"error":{"message":"zebra.of.openai"}}\n\n'),
        ("openai,m", b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n', b'data: {"error":"zebra.of.openai"}\n\n'),
        ("gemini,m", b"", b'data: {"error":{"message":"zebra.of.gemini"}}\n\n'),
        ("anthropic,m", b"", b'event: error\ndata: {"type":"error","error":{"message":"zebra.of.anthropic"}}\n\n'),
    ],
)
async def test_nor_does_one_in_a_stream(url, vendor, model, before, said):
    vendor.answer = (200, "text/event-stream", before + said)
    asked = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": True, "max_tokens": 5}
    assert await asyncio.to_thread(ask, url, asked) in (200, 502)
