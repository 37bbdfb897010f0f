"""Bedrock as AWS documents it, on a real socket; botocore checks what was signed."""

import json
from base64 import b64decode, b64encode

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from pydantic import SecretStr

from gen.llmproxy.v1 import llmproxy_pb2
from services.llmproxy.configuration import ProviderConfiguration

SECRET = "planted/secret+0123456789abcdef"
TOKEN = "planted-session-token=="
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "arn:aws:bedrock:us-west-2::foundation-model/amazon.nova-pro-v1:0"
PATH = {CLAUDE: CLAUDE.replace(":", "%3A"), NOVA: NOVA.replace(":", "%3A").replace("/", "%2F")}
EVENT_STREAM = "application/vnd.amazon.eventstream"
USAGE = {"inputTokens": 21, "outputTokens": 4, "totalTokens": 25}
CONVERSED = {
    "output": {"message": {"role": "assistant", "content": [{"text": "grüße"}]}},
    "stopReason": "end_turn",
    "usage": USAGE,
    "metrics": {"latencyMs": 1},
}
MESSAGE = {"id": "msg_bdrk_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": []}
COUNTS = {"usage": {"input_tokens": 3, "output_tokens": 1}}


def body(model, **more):
    messages = [{"role": "user", "content": "hi"}]
    return json.dumps({"model": f"bedrock,{model}", "max_tokens": 5, "messages": messages, **more}).encode()


def configured(upstream, key=f"AKIAPLANTED0123456789:{SECRET}:{TOKEN}"):
    return ProviderConfiguration("bedrock", "aws", upstream.url, SecretStr(key), region="us-west-2")


@pytest.fixture
async def proxy(serve, upstream):
    async with serve(configured(upstream)) as proxy:
        yield proxy


def signed_as_botocore_does(upstream):
    method, path, headers, sent = upstream.requests[-1]
    told = {name.lower(): value for name, value in headers.items()}
    names = told["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    request = AWSRequest(method, f"http://{told['host']}{path}", {name: told[name] for name in names}, sent)
    request.context["timestamp"] = told["x-amz-date"]
    signer = SigV4Auth(Credentials("AKIAPLANTED0123456789", SECRET, TOKEN), "bedrock", "us-west-2")
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    assert {"host", "x-amz-date", "x-amz-security-token"} <= set(names)
    return told["authorization"].endswith(f"Signature={signature}")


def claude_events(frame, *events):
    return [
        frame(
            json.dumps({"bytes": b64encode(json.dumps(event).encode()).decode(), "p": "abc"}).encode(),
            event_type="chunk",
        )
        for event in events
    ]


def converse_events(frame, *events):
    return [frame(json.dumps(data).encode(), event_type=name) for event in events for name, data in event.items()]


STARTED = {"type": "message_start", "message": {**MESSAGE, **COUNTS}}
BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
SAID = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "grüße"}}
CLAUDES = [
    STARTED,
    BLOCK,
    SAID,
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
    {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3}},
]
NOVAS = [
    {"messageStart": {"role": "assistant"}},
    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "grüße"}, "p": "abc"}},
    {"contentBlockStop": {"contentBlockIndex": 0}},
    {"messageStop": {"stopReason": "end_turn"}},
    {"metadata": {"usage": USAGE, "metrics": {"latencyMs": 1}}},
]


async def test_claude_answers_whole_in_its_own_words(proxy, upstream):
    upstream.answer(200, json.dumps({**MESSAGE, **COUNTS}).encode())
    (answer,) = await proxy.answers(body(CLAUDE), anthropic_beta="claude-code-20250219,context-1m-2025-08-07")
    assert json.loads(answer.data) == {**MESSAGE, **COUNTS, "model": "bedrock/claude-sonnet-4-5"}
    _, path, _, sent = upstream.requests[0]
    assert path == f"/model/{PATH[CLAUDE]}/invoke"
    assert json.loads(sent)["anthropic_beta"] == ["context-1m-2025-08-07"]
    assert "model" not in json.loads(sent)
    assert signed_as_botocore_does(upstream)


async def test_claude_streams_its_own_events(proxy, upstream, frame):
    upstream.stream(*claude_events(frame, *CLAUDES), content_type=EVENT_STREAM)
    answers = await proxy.answers(body(CLAUDE, stream=True))
    assert [answer.event for answer in answers] == [event["type"] for event in CLAUDES]
    assert json.loads(answers[0].data)["message"]["model"] == "bedrock/claude-sonnet-4-5"
    assert json.loads(answers[2].data) == SAID
    assert upstream.requests[0][1] == f"/model/{PATH[CLAUDE]}/invoke-with-response-stream"
    assert signed_as_botocore_does(upstream)


async def test_other_models_answer_whole_by_converse(proxy, upstream):
    upstream.answer(200, json.dumps(CONVERSED).encode())
    (answer,) = await proxy.answers(body(NOVA))
    message = json.loads(answer.data)
    assert (message["content"][0]["text"], message["usage"]["input_tokens"]) == ("grüße", 21)
    assert message["model"] == f"bedrock/{NOVA}"
    assert upstream.requests[0][1] == f"/model/{PATH[NOVA]}/converse"
    assert signed_as_botocore_does(upstream)


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_other_models_stream_by_converse_however_frames_are_cut(proxy, upstream, frame, size):
    data = b"".join(converse_events(frame, *NOVAS))
    upstream.stream(*(data[at : at + size] for at in range(0, len(data), size)), content_type=EVENT_STREAM)
    answers = await proxy.answers(body(NOVA, stream=True))
    assert [answer.event for answer in answers] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert json.loads(answers[-2].data)["usage"]["output_tokens"] == 4
    assert upstream.requests[0][1] == f"/model/{PATH[NOVA]}/converse-stream"


async def test_a_key_of_bedrocks_own_is_sent_as_it_is(serve, upstream):
    async with serve(configured(upstream, "bedrock-api-key-planted0123")) as proxy:
        upstream.answer(200, json.dumps(CONVERSED).encode())
        await proxy.answers(body(NOVA))
    headers = {name.lower(): value for name, value in upstream.requests[0][2].items()}
    assert headers["authorization"] == "Bearer bedrock-api-key-planted0123"
    assert "x-amz-date" not in headers


@pytest.mark.parametrize("model", [CLAUDE, NOVA])
@pytest.mark.parametrize(
    ("kind", "status", "told", "error"),
    [
        ("ThrottlingException:http://internal.amazon.com/", 429, 429, "rate_limit_error"),
        ("ServiceQuotaExceededException", 400, 429, "rate_limit_error"),
        ("ValidationException", 400, 400, "invalid_request_error"),
        ("AccessDeniedException", 403, 403, "permission_error"),
        ("ResourceNotFoundException", 404, 404, "not_found_error"),
        ("ModelTimeoutException", 408, 504, "timeout_error"),
        ("ModelErrorException", 424, 502, "api_error"),
        ("ModelNotReadyException", 429, 503, "overloaded_error"),
        ("ServiceUnavailableException", 503, 503, "overloaded_error"),
        ("", 500, 500, "api_error"),
    ],
)
async def test_errors_of_aws_become_ours(proxy, upstream, model, kind, status, told, error):
    said = f"no, {SECRET[:8]} AKIAPLANTED0123456789"
    upstream.answer(status, json.dumps({"message": said}).encode(), {"x-amzn-ErrorType": kind, "retry-after": "9"})
    (answer,) = await proxy.answers(body(model, stream=True))
    envelope = json.loads(answer.data)["error"]
    assert (answer.head.status, envelope["type"], envelope["details"]["provider"]) == (told, error, "bedrock")
    assert kind.partition(":")[0] in envelope["message"]
    assert "AKIA" not in envelope["message"]
    assert answer.head.headers["retry-after"] == "9"


@pytest.mark.parametrize("model", [CLAUDE, NOVA])
async def test_a_refused_credential_shows_in_health_until_a_free_question_is_answered(proxy, upstream, model):
    refusal = {"x-amzn-ErrorType": "UnrecognizedClientException"}
    upstream.answer(403, b'{"message":"The security token included in the request is invalid."}', refusal)
    (answer,) = await proxy.answers(body(model))
    assert (answer.head.status, json.loads(answer.data)["error"]["type"]) == (401, "authentication_error")
    condition = proxy.catalog.entries["bedrock"].condition
    assert not condition.healthy
    await proxy.catalog.recheck()
    assert not condition.healthy
    upstream.answer(400, b'{"message":"no such model"}', {"x-amzn-ErrorType": "ValidationException"})
    await proxy.catalog.recheck()
    assert condition.healthy
    assert upstream.requests[-1][1].endswith("/count-tokens")
    assert signed_as_botocore_does(upstream)


@pytest.mark.parametrize("model", [CLAUDE, NOVA])
async def test_an_exception_before_the_first_event_has_its_status(proxy, upstream, frame, model):
    broken = frame(b'{"message":"slow down"}', "exception", exception_type="throttlingException")
    upstream.stream(broken, content_type=EVENT_STREAM)
    (answer,) = await proxy.answers(body(model, stream=True))
    assert answer.head.status == 429
    assert json.loads(answer.data)["error"]["message"] == "ThrottlingException: slow down"


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (lambda frame: frame(b'{"message":"gone"}', "exception", exception_type="modelStreamErrorException"), "gone"),
        (lambda frame: frame(b"", "error", error_code="InternalError", error_message="broken"), "broken"),
        (lambda frame: frame(b"{}")[:-1] + b"\xff", "events are broken"),
        (lambda frame: frame(b"{}")[:-3], "early"),
        (lambda frame: b"", "early"),
    ],
    ids=["exception", "error", "wrong checksum", "cut frame", "no end"],
)
@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("model", [CLAUDE, NOVA])
async def test_what_breaks_in_mid_stream_is_the_last_event(proxy, upstream, frame, model, at_once, last, said):
    begun = {CLAUDE: claude_events(frame, *CLAUDES[:3]), NOVA: converse_events(frame, *NOVAS[:2])}[model]
    chunks = [*begun, last(frame)]
    upstream.stream(*([b"".join(chunks)] if at_once else chunks), content_type=EVENT_STREAM)
    answers = await proxy.answers(body(model, stream=True))
    assert [answer.event for answer in answers][:3] == ["message_start", "content_block_start", "content_block_delta"]
    assert [answer.event for answer in answers][-2:] == ["content_block_stop", "error"]
    assert said in json.loads(answers[-1].data)["error"]["message"]


async def test_tokens_are_counted_by_bedrock(proxy, upstream):
    upstream.answer(200, b'{"inputTokens": 31}')
    for model, way in ((CLAUDE, "invokeModel"), (NOVA, "converse")):
        counted = await proxy.stub.CountTokens(llmproxy_pb2.CountTokensRequest(body=body(model)))
        assert (counted.input_tokens, counted.estimated) == (31, False)
        _, path, _, sent = upstream.requests[-1]
        assert path == f"/model/{PATH[model]}/count-tokens"
        asked = json.loads(sent)["input"][way]
        if way == "invokeModel":
            asked = json.loads(b64decode(asked["body"]))
        assert asked["messages"][0]["role"] == "user"
        assert signed_as_botocore_does(upstream)


async def test_tokens_are_guessed_where_bedrock_does_not_count(proxy, upstream):
    upstream.answer(400, b'{"message":"unsupported"}', {"x-amzn-ErrorType": "ValidationException"})
    counted = await proxy.stub.CountTokens(llmproxy_pb2.CountTokensRequest(body=body(NOVA)))
    assert counted.estimated
    assert counted.input_tokens > 0


async def test_a_model_that_is_a_step_in_a_path_is_no_model(proxy, upstream):
    for model in (".", ".."):
        (answer,) = await proxy.answers(body(model))
        assert (answer.head.status, json.loads(answer.data)["error"]["code"]) == (404, "model_not_found")
    assert upstream.requests == []
