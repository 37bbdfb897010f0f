"""Converse as AWS documents it; every request is also checked by botocore's model of the API."""

import hashlib
import json

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from services.llmproxy.converse import Answer, request
from services.llmproxy.events import collect
from services.llmproxy.messages import AnswerError

NOVA = "us.amazon.nova-pro-v1:0"
LLAMA = "meta.llama3-3-70b-instruct-v1:0"
TOOL = {"name": "look", "description": "Look.", "input_schema": {"type": "object", "properties": {}}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "sky"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "blue"}
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}}
PDF = {
    "type": "document",
    "title": "a/b.pdf",
    "source": {"type": "base64", "media_type": "application/pdf", "data": "JV=="},
}
CACHED = {"cache_control": {"type": "ephemeral"}}
SHAPE = (
    ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2")).operation_model("Converse").input_shape
)


def text(words, **more):
    return {"type": "text", "text": words, **more}


def user(*blocks):
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def translated(model=LLAMA, **fields):
    body = request({"max_tokens": 100, "messages": [user(text("hi"))], **fields}, model)
    report = ParamValidator().validate({"modelId": model, **body}, SHAPE)
    assert not report.has_errors(), report.generate_report()
    return body


def test_a_plain_request_has_nothing_that_converse_does_not_know():
    assert translated(
        system="be kind",
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop_sequences=["x"],
        metadata={"user_id": '{"device": 1}'},
        thinking={"type": "adaptive"},
        context_management={},
        stream=True,
    ) == {
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "system": [{"text": "be kind"}],
        "inferenceConfig": {"maxTokens": 100, "temperature": 0.5, "topP": 0.9, "stopSequences": ["x"]},
        "requestMetadata": {"user_id": hashlib.sha256(b'{"device": 1}').hexdigest()},
    }


def test_turns_alternate_and_a_system_message_is_folded():
    messages = [user(text("a"), text(" ")), {"role": "system", "content": "s"}, user(text("b")), assistant(text("c"))]
    assert translated(messages=messages)["messages"] == [
        {"role": "user", "content": [{"text": "a"}, {"text": "<system>\ns\n</system>"}, {"text": "b"}]},
        {"role": "assistant", "content": [{"text": "c"}]},
    ]


def test_calls_and_results_go_back_results_first():
    body = translated(messages=[user(text("?")), assistant(USE), user(text("and?"), RESULT)], tools=[TOOL])
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": [{"toolUse": {"toolUseId": "toolu_1", "name": "look", "input": {"at": "sky"}}}],
        },
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "toolu_1", "content": [{"text": "blue"}]}}, {"text": "and?"}],
        },
    ]
    system = {"role": "system", "content": "s"}
    between = translated(messages=[user(text("?")), assistant(USE), system, user(RESULT)], tools=[TOOL])
    assert [list(block) for block in between["messages"][2]["content"]] == [["toolResult"], ["text"]]
    assert body["toolConfig"] == {
        "tools": [{"toolSpec": {"name": "look", "description": "Look.", "inputSchema": {"json": TOOL["input_schema"]}}}]
    }


def test_results_that_failed_or_are_empty_or_show_something():
    def content(model, **result):
        messages = [user(text("?")), assistant(USE), user({**RESULT, **result})]
        return translated(model, messages=messages)["messages"][2]["content"][0]["toolResult"]

    assert content(NOVA, is_error=True) == {"toolUseId": "toolu_1", "content": [{"text": "blue"}], "status": "error"}
    assert content(LLAMA, is_error=True)["content"] == [{"text": "[error]"}, {"text": "blue"}]
    assert content(LLAMA, content="")["content"] == [{"text": "(no output)"}]
    assert content(LLAMA, content=[PNG])["content"] == [{"image": {"format": "png", "source": {"bytes": "iVBORw=="}}}]


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ({"type": "auto"}, {"auto": {}}),
        ({"type": "any"}, {"any": {}}),
        ({"type": "tool", "name": "look"}, {"tool": {"name": "look"}}),
    ],
)
def test_the_choice_of_a_tool(choice, wanted):
    assert translated(tools=[TOOL], tool_choice=choice)["toolConfig"]["toolChoice"] == wanted


def test_a_conversation_with_calls_names_its_tools_whatever_the_client_says():
    called = [user(text("?")), assistant(USE), user(RESULT)]
    assert "toolConfig" not in translated(tools=[TOOL], tool_choice={"type": "none"})
    assert translated(tools=[TOOL], tool_choice={"type": "none"}, messages=called)["toolConfig"].keys() == {"tools"}
    (made,) = translated(messages=called)["toolConfig"]["tools"]
    assert made["toolSpec"]["name"] == "look"
    assert "toolConfig" not in translated(tools=[{"type": "web_search_20250305", "name": "web_search"}])


def test_caches_are_marked_where_a_model_has_one():
    asked = {"system": [text("a", **CACHED)], "messages": [user(text("b", **CACHED))]}
    point = {"cachePoint": {"type": "default"}}
    body = translated(NOVA, **asked)
    assert (body["system"], body["messages"][0]["content"]) == ([{"text": "a"}, point], [{"text": "b"}, point])
    assert "cachePoint" not in json.dumps(translated(LLAMA, **asked))


def test_claude_codes_attribution_is_left_out():
    system = [text("x-anthropic-billing-header: v"), text("be kind")]
    for model in (NOVA, LLAMA):
        assert translated(model, system=system)["system"] == [{"text": "be kind"}]


def test_nova_takes_top_k_and_a_schema_is_handed_on():
    schema = {"type": "object"}
    body = translated(NOVA, top_k=3, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert body["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 3}}
    wanted = body["outputConfig"]["textFormat"]
    assert (wanted["type"], json.loads(wanted["structure"]["jsonSchema"]["schema"])) == ("json_schema", schema)


def test_documents_have_names_of_their_own_and_a_text_beside_them():
    plain = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}
    content = translated(messages=[user(PDF, PDF)])["messages"][0]["content"]
    assert [one.get("document", {}).get("name") for one in content] == ["a b pdf 1", "a b pdf 2", None]
    assert content[0]["document"]["format"] == "pdf"
    assert content[2] == {"text": "See the document."}
    assert translated(messages=[user(plain)])["messages"][0]["content"] == [{"text": "words"}]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/tiff", "data": "A"}},
        {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/zip", "data": "A"}},
    ],
)
def test_what_bedrock_cannot_be_given_is_said_and_not_dropped(block):
    with pytest.raises(AnswerError, match="Bedrock takes") as refused:
        translated(messages=[user(block)])
    assert refused.value.status == 400


def test_thoughts_go_back_only_with_bedrocks_own_signature():
    ours = {"type": "thinking", "thinking": "hm", "signature": "gw1:bedrock:SIG"}
    unsigned = {"type": "thinking", "thinking": "hm", "signature": "gw1:bedrock:"}
    claudes = {"type": "thinking", "thinking": "hm", "signature": "EqQB"}
    hidden = {"type": "redacted_thinking", "data": "gw1:bedrock:AAEC"}
    content = translated(messages=[user(text("?")), assistant(ours, unsigned, claudes, hidden, text("x"))])
    assert content["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "SIG"}}},
        {"reasoningContent": {"redactedContent": "AAEC"}},
        {"text": "x"},
    ]


def delta(index, **what):
    return {"contentBlockDelta": {"contentBlockIndex": index, "delta": what}}


def stop(index):
    return {"contentBlockStop": {"contentBlockIndex": index}}


def call_start(index, call_id, name):
    start = {"toolUse": {"toolUseId": call_id, "name": name}}
    return {"contentBlockStart": {"contentBlockIndex": index, "start": start}}


USAGE = {"inputTokens": 9, "outputTokens": 4, "totalTokens": 15, "cacheReadInputTokens": 2, "cacheWriteInputTokens": 1}
STREAM = [
    {"messageStart": {"role": "assistant"}},
    delta(0, reasoningContent={"text": "hm"}),
    delta(0, reasoningContent={"signature": "SI"}),
    delta(0, reasoningContent={"signature": "G"}),
    stop(0),
    delta(1, reasoningContent={"redactedContent": "AAEC"}),
    stop(1),
    delta(2, text="It is "),
    delta(2, text="blue"),
    stop(2),
    call_start(3, "tooluse_a", "look"),
    delta(3, toolUse={"input": ""}),
    delta(3, toolUse={"input": '{"at":'}),
    delta(3, toolUse={"input": '"sky"}'}),
    stop(3),
    call_start(4, "tooluse_b", "now"),
    stop(4),
    {"messageStop": {"stopReason": "tool_use"}},
    {"metadata": {"usage": USAGE, "metrics": {"latencyMs": 9}}},
]
CONTENT = [
    {"type": "thinking", "thinking": "hm", "signature": "gw1:bedrock:SIG"},
    {"type": "redacted_thinking", "data": "gw1:bedrock:AAEC"},
    {"type": "text", "text": "It is blue"},
    {"type": "tool_use", "id": "tooluse_a", "name": "look", "input": {"at": "sky"}},
    {"type": "tool_use", "id": "tooluse_b", "name": "now", "input": {}},
]


def answered(*chunks):
    answer = Answer("bedrock", LLAMA, 7)
    pieces = [piece for chunk in chunks for piece in answer.take(chunk)] + answer.finish()
    return pieces, json.loads(collect(pieces))


def test_a_stream_becomes_blocks_in_order_with_late_usage():
    pieces, message = answered(*STREAM)
    assert message["content"] == CONTENT
    assert (message["model"], message["stop_reason"]) == (f"bedrock/{LLAMA}", "tool_use")
    assert message["usage"] == {
        "input_tokens": 9,
        "output_tokens": 4,
        "cache_read_input_tokens": 2,
        "cache_creation_input_tokens": 1,
    }
    starts = [json.loads(one.data) for one in pieces if one.event == "content_block_start"]
    assert [one["index"] for one in starts] == [0, 1, 2, 3, 4]
    assert [one.event for one in pieces].count("message_start") == 1


def test_a_whole_answer_is_the_same():
    reasoning = {"reasoningText": {"text": "hm", "signature": "SIG"}}
    blocks = [
        {"reasoningContent": reasoning},
        {"reasoningContent": {"redactedContent": "AAEC"}},
        {"text": "It is blue"},
        {"toolUse": {"toolUseId": "tooluse_a", "name": "look", "input": {"at": "sky"}}},
        {"toolUse": {"toolUseId": "tooluse_b", "name": "now", "input": {}}},
    ]
    message = {"role": "assistant", "content": blocks}
    _, told = answered({"output": {"message": message}, "stopReason": "tool_use", "usage": USAGE, "metrics": {}})
    assert (told["content"], told["stop_reason"], told["usage"]["input_tokens"]) == (CONTENT, "tool_use", 9)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("end_turn", "end_turn"),
        ("max_tokens", "max_tokens"),
        ("stop_sequence", "stop_sequence"),
        ("guardrail_intervened", "refusal"),
        ("content_filtered", "refusal"),
        ("model_context_window_exceeded", "model_context_window_exceeded"),
        ("something_new", "end_turn"),
    ],
)
def test_the_reason_of_the_end(reason, told):
    _, message = answered(delta(0, text="x"), {"messageStop": {"stopReason": reason}})
    assert message["stop_reason"] == told


def test_a_call_is_a_reason_by_itself():
    _, message = answered(call_start(0, "a", "look"), stop(0), {"messageStop": {"stopReason": "end_turn"}})
    assert message["stop_reason"] == "tool_use"


@pytest.mark.parametrize("end", [[], [{"messageStop": {"stopReason": "malformed_tool_use"}}]])
def test_an_answer_that_is_cut_or_malformed_is_a_failure(end):
    with pytest.raises(AnswerError) as failure:
        answered(delta(0, text="x"), *end)
    assert failure.value.status == 502


def test_usage_is_guessed_and_said_where_none_came():
    pieces, message = answered(delta(0, text="Hello there"), {"messageStop": {"stopReason": "end_turn"}})
    assert (message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == (7, 2)
    assert json.loads(pieces[-2].data)["usage_estimated"] is True
