import json

import pytest

from services.llmproxy.messages import AnswerError, error_event, new_id, parse, redact, text_of, usage_of

GOOD = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def body(**changes):
    fields = {**GOOD, **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b"\xff", "not valid JSON"),
        (body(model=...), "model: Field required"),
        (body(model=" "), "model: must be a non-empty string"),
        (body(model=7), "model: must be a non-empty string"),
        (body(stream="yes"), "stream: must be true or false"),
        (body(messages=...), "messages: Field required"),
        (body(messages=[]), "at least one message"),
        (body(messages="hi"), "at least one message"),
        (body(messages=["hi"]), "messages.0: must be an object"),
        (body(messages=[{"role": "robot", "content": "x"}]), "messages.0.role"),
        (body(messages=[{"role": "user"}]), "messages.0.content"),
        (body(messages=[{"role": "user", "content": ["x"]}]), "messages.0.content"),
    ],
)
def test_what_is_missing_or_malformed_is_a_400_that_names_it(raw, words):
    with pytest.raises(AnswerError, match=words) as failure:
        parse(raw, {})
    assert failure.value.status == 400
    assert json.loads(failure.value.body(""))["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("role", ["user", "assistant", "system"])
def test_every_role_that_clients_send_is_taken(role):
    request = parse(body(messages=[{"role": role, "content": [{"type": "text", "text": "x"}]}]), {})
    assert (request.model, request.stream) == ("m", False)


def test_only_true_asks_for_a_stream():
    assert parse(body(stream=True), {}).stream
    assert not parse(body(stream=False), {}).stream


def test_the_envelope_is_anthropics_with_code_details_and_request_id():
    error = AnswerError(503, "busy", code="provider_unavailable", details={"provider": "x"})
    assert json.loads(error.body("r1")) == {
        "type": "error",
        "error": {
            "type": "overloaded_error",
            "message": "busy",
            "code": "provider_unavailable",
            "details": {"provider": "x"},
        },
        "request_id": "r1",
    }


def test_an_error_event_has_no_more_than_the_api_says():
    assert json.loads(error_event(AnswerError(502, "cut", code="provider_error"))) == {
        "type": "error",
        "error": {"type": "api_error", "message": "cut"},
    }


def test_ids_look_like_anthropics_and_never_repeat():
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(one.startswith("msg_") and len(one) >= 28 for one in ids)


@pytest.mark.parametrize(
    ("event", "data", "expected"),
    [
        ("message_start", b'{"message":{"usage":{"input_tokens":3,"new":1}}}', {"input_tokens": 3}),
        ("message_delta", b'{"usage":{"output_tokens":4,"input_tokens":null}}', {"output_tokens": 4}),
        ("", b'{"usage":{"input_tokens":1,"output_tokens":2}}', {"input_tokens": 1, "output_tokens": 2}),
        ("", b'{"error":{}}', {}),
        ("", b"oops", {}),
        ("message_start", b"[]", {}),
        ("content_block_delta", b'{"usage":{"input_tokens":3}}', {}),
    ],
)
def test_token_counts_are_read_where_they_stand(event, data, expected):
    assert usage_of(event, data) == expected


def test_only_text_blocks_have_text():
    assert text_of([{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]) == "a\n\nb"
    assert text_of("a") == "a"
    assert text_of(None) == ""


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-api03-abcdefgh12345678",
        "AIzaSyA1234567890abcdefghij",
        "gsk_abcdefghijklmnop",
        "Bearer abc.def.ghi",
        "somebody@example.org",
        "10.20.30.40",
        "AKIAIOSFODNN7EXAMPLE",
        "q" * 48,
    ],
)
def test_keys_tokens_addresses_are_blotted_out(secret):
    assert redact(f"refused {secret} at once") == "refused [redacted] at once"


def test_ordinary_words_stay():
    text = "model gpt-4o-mini not found, see https://example.org/docs/errors"
    assert redact(text) == text
