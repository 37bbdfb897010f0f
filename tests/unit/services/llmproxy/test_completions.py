import json

import pytest

from services.llmproxy.answers import Piece
from services.llmproxy.completions import CompletionsForm, to_messages
from services.llmproxy.events import Writer
from services.llmproxy.messages import AnswerError


def translated(**fields):
    return to_messages({"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields})


def turns(*messages):
    return translated(messages=list(messages))["messages"]


def test_a_plain_request():
    assert translated(max_tokens=5, temperature=1.5, top_p=0.5, stop="x", stream=True, user="u", seed=1) == {
        "model": "m",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "temperature": 1,
        "top_p": 0.5,
        "stop_sequences": ["x"],
        "stream": True,
        "metadata": {"user_id": "u"},
    }


def test_leading_system_messages_are_the_system_text_and_later_ones_stay():
    told = translated(
        messages=[
            {"role": "system", "content": "a"},
            {"role": "developer", "content": [{"type": "text", "text": "b"}]},
            {"role": "user", "content": "c"},
            {"role": "system", "content": "d"},
        ]
    )
    assert told["system"] == "a\n\nb"
    assert told["messages"][1:] == [{"role": "system", "content": "d"}]


def test_calls_and_their_results():
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"at":"sky"}'}}
    told = turns(
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "blue"},
        {"role": "user", "content": "and?"},
    )
    assert told == [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "look", "input": {"at": "sky"}}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "blue"},
                {"type": "text", "text": "and?"},
            ],
        },
    ]


def test_pictures_and_files():
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAA"}},
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,P"}},
        {"type": "input_audio"},
    ]
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "P"}
    assert turns({"role": "user", "content": parts})[0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAA"}},
        {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
        {"type": "document", "source": pdf, "title": "a.pdf"},
    ]


TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"type": "auto"}),
        ("required", {"type": "any"}),
        ("none", {"type": "none"}),
        ({"type": "function", "function": {"name": "look"}}, {"type": "tool", "name": "look"}),
    ],
)
def test_tools_and_the_choice_of_them(choice, expected):
    told = translated(tools=[TOOL], tool_choice=choice)
    assert told["tools"] == [{"name": "look", "input_schema": {"type": "object"}}]
    assert told["tool_choice"] == expected


def test_other_wishes():
    assert translated(tools=[TOOL], parallel_tool_calls=False)["tool_choice"] == {
        "type": "auto",
        "disable_parallel_tool_use": True,
    }
    assert translated(max_completion_tokens=7)["max_tokens"] == 7
    shape = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    assert translated(reasoning_effort="minimal", response_format=shape)["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": {"type": "object"}},
    }


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"[]",
        b'{"model":"m"}',
        b'{"model":"m","messages":["x"]}',
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"n":2}',
        b'{"messages":[{"role":"user","content":"x"}]}',
        b'{"model":"m","messages":[{"role":"user","content":7}]}',
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[7]}',
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream":"yes"}',
    ],
)
def test_what_cannot_be_asked_is_a_400(raw):
    form = CompletionsForm()
    with pytest.raises(AnswerError) as refused:
        form.parse(raw, {})
    assert refused.value.status == 400
    error = json.loads(form.error(refused.value, "r"))["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", None)


def told(pieces, **options):
    form = CompletionsForm()
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **options}
    form.parse(json.dumps(body).encode(), {})
    return [chunk.data for piece in pieces for chunk in form.tell(piece)]


def answered():
    writer = Writer("p/m", 9)
    pieces = writer.thinking("hm") + writer.signature("s") + writer.text("Hel") + writer.text("lo")
    pieces += writer.tool(0, "a", "look") + writer.arguments(0, '{"x":1}')
    pieces += writer.tool(1, "b", "hear") + writer.arguments(1, '{"y":2}')
    writer.usage.output_tokens = 5
    writer.usage.cache_read_input_tokens = 4
    return pieces + writer.finish("tool_use")


def test_a_stream_is_chunks_and_done():
    *chunks, done = told([*answered(), Piece("ping", b"{}")])
    chunks = [json.loads(chunk) for chunk in chunks]
    assert done == b"[DONE]"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk["model"] for chunk in chunks} == {"p/m"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert deltas[1] == {"reasoning_content": "hm"}
    assert "".join(delta.get("content") or "" for delta in deltas) == "Hello"
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert [(call["index"], call.get("id"), call["function"]["arguments"]) for call in calls] == [
        (0, "a", ""),
        (0, None, '{"x":1}'),
        (1, "b", ""),
        (1, None, '{"y":2}'),
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_usage_comes_in_a_chunk_of_its_own_and_only_when_asked_for():
    *_, usage, done = told(answered(), stream_options={"include_usage": True})
    assert json.loads(usage)["choices"] == []
    assert json.loads(usage)["usage"] == {
        "prompt_tokens": 13,
        "completion_tokens": 5,
        "total_tokens": 18,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    assert done == b"[DONE]"
    assert not any(b"usage" in chunk for chunk in told(answered()))


def test_a_torn_stream_says_error_and_never_done():
    writer = Writer("p/m", 9)
    *_, last = told(writer.text("x") + writer.torn(AnswerError(502, "cut")))
    assert json.loads(last)["error"]["message"] == "cut"


def test_a_whole_answer_is_a_completion():
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "x"},
        {"type": "tool_use", "id": "a", "name": "look", "input": {"x": 1}},
    ]
    message = {"model": "p/m", "content": blocks, "stop_reason": "tool_use", "usage": {"input_tokens": 2}}
    told = json.loads(CompletionsForm().whole(200, json.dumps(message).encode()))
    assert (told["object"], told["model"], told["usage"]["prompt_tokens"]) == ("chat.completion", "p/m", 2)
    assert told["choices"][0]["message"] == {
        "role": "assistant",
        "content": "x",
        "reasoning_content": "hm",
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"x":1}'}}],
    }
    assert told["choices"][0]["finish_reason"] == "tool_calls"


def test_a_providers_error_is_told_in_openais_envelope():
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}'
    assert json.loads(CompletionsForm().whole(429, body))["error"] == {
        "message": "slow down",
        "type": "rate_limit_error",
        "param": None,
        "code": None,
    }


def test_an_estimated_usage_is_told_beside_it():
    form = CompletionsForm()
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream_options": {"include_usage": True}}
    form.parse(json.dumps(asked).encode(), {})
    writer = Writer("p/m", 9)
    pieces = writer.text("x") + writer.finish("end_turn", estimated=True)
    *_, usage, _done = [told for piece in pieces for told in form.tell(piece)]
    assert json.loads(usage.data)["usage_estimated"] is True
