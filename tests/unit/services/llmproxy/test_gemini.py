import json

import pytest

from services.llmproxy.events import collect
from services.llmproxy.gemini import Answer, request
from services.llmproxy.gemini_schema import clean
from services.llmproxy.messages import AnswerError


def translated(model="gemini-2.5-pro", **fields):
    return request({"max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], **fields}, model)


def user(*blocks):
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def text(words):
    return {"type": "text", "text": words}


USE = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "sky"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "blue"}
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAA"}}
PNG_PART = {"inlineData": {"mimeType": "image/png", "data": "AAA"}}


def test_a_plain_request_has_nothing_that_gemini_does_not_know():
    body = translated(
        system="be kind",
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop_sequences=list("abcdefg"),
        metadata={"user_id": "x"},
        stream=True,
    )
    assert body == {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "systemInstruction": {"parts": [{"text": "be kind"}]},
        "generationConfig": {
            "maxOutputTokens": 100,
            "temperature": 0.5,
            "topP": 0.9,
            "topK": 3,
            "stopSequences": ["a", "b", "c", "d", "e"],
        },
    }


def test_turns_alternate_and_a_system_message_is_folded():
    messages = [user(text("a")), {"role": "system", "content": "s"}, user(text("b")), assistant(text("c"))]
    assert translated(messages=messages)["contents"] == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "<system>\ns\n</system>"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}]},
    ]


def test_a_result_finds_the_name_of_its_call_by_the_id():
    contents = translated(messages=[assistant(USE), user(text("and?"), RESULT)])["contents"]
    assert contents[0]["parts"] == [{"functionCall": {"name": "look", "args": {"at": "sky"}}}]
    assert contents[1]["parts"] == [
        {"functionResponse": {"name": "look", "response": {"result": "blue"}}},
        {"text": "and?"},
    ]


def test_errors_empty_results_and_pictures_of_results():
    blocks = [
        {**RESULT, "is_error": True},
        {**RESULT, "content": ""},
        {**RESULT, "content": [text("see"), PNG]},
    ]
    parts = translated(messages=[assistant(USE), user(*blocks)])["contents"][1]["parts"]
    assert [one["functionResponse"]["response"] for one in parts if "functionResponse" in one] == [
        {"error": "blue"},
        {"result": "(no output)"},
        {"result": "see"},
    ]
    assert parts[-1] == PNG_PART


def test_pictures_and_documents_are_inline():
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "P"}}
    url = {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}
    assert translated(messages=[user(PNG, pdf, url)])["contents"][0]["parts"] == [
        PNG_PART,
        {"inlineData": {"mimeType": "application/pdf", "data": "P"}},
        {"fileData": {"fileUri": "https://x.test/a.png"}},
    ]


def test_a_signature_goes_back_on_the_part_it_came_with():
    signed = {"type": "thinking", "thinking": "hm", "signature": "gw1:gemini:SIG=="}
    theirs = {"type": "thinking", "thinking": "hm", "signature": "EqQB"}
    parts = translated(messages=[assistant(signed, USE, USE)])["contents"][0]["parts"]
    assert [one.get("thoughtSignature") for one in parts] == ["SIG==", None]
    assert "thoughtSignature" not in translated(messages=[assistant(theirs, USE)])["contents"][0]["parts"][0]


def test_the_newest_models_get_the_documented_mark_for_calls_of_other_models():
    parts = translated("gemini-3-pro", messages=[assistant(USE, USE)])["contents"][0]["parts"]
    assert [one.get("thoughtSignature") for one in parts] == ["skip_thought_signature_validator", None]


TOOL = {"name": "look", "description": "d", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}


def test_tools_are_function_declarations():
    body = translated(tools=[TOOL, {"name": "now", "input_schema": {"type": "object"}}, {"type": "web_search_1"}])
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {"name": "look", "description": "d", "parameters": TOOL["input_schema"]},
                {"name": "now", "description": "now"},
            ]
        }
    ]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, {"mode": "AUTO"}),
        ({"type": "any"}, {"mode": "ANY"}),
        ({"type": "none"}, {"mode": "NONE"}),
        ({"type": "tool", "name": "look"}, {"mode": "ANY", "allowedFunctionNames": ["look"]}),
    ],
)
def test_the_choice_of_tools(choice, expected):
    assert translated(tools=[TOOL], tool_choice=choice)["toolConfig"] == {"functionCallingConfig": expected}


@pytest.mark.parametrize(
    ("model", "fields", "expected"),
    [
        ("gemini-2.5-pro", {"thinking": {"type": "enabled", "budget_tokens": 2048}}, {"thinkingBudget": 2048}),
        ("gemini-2.5-pro", {"thinking": {"type": "adaptive"}}, {}),
        (
            "gemini-3-pro",
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
            {"thinkingLevel": "high"},
        ),
        ("gemini-3-pro", {"thinking": {"type": "disabled"}}, None),
    ],
)
def test_thinking(model, fields, expected):
    told = translated(model, **fields)["generationConfig"].get("thinkingConfig")
    assert told == (None if expected is None else {"includeThoughts": True, **expected})


def test_a_wanted_shape_is_a_json_schema():
    config = translated(output_config={"format": {"schema": {"type": "object"}}})["generationConfig"]
    assert (config["responseMimeType"], config["responseJsonSchema"]) == ("application/json", {"type": "object"})


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"$schema": "x", "additionalProperties": False, "type": "object"}, {"type": "object"}),
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"type": "integer", "enum": [1, 2]}, {"type": "integer"}),
        ({"type": "string", "format": "uri"}, {"type": "string"}),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": "number", "exclusiveMinimum": 0, "minimum": 1}, {"type": "number", "minimum": 1}),
        ({"type": "array"}, {"type": "array", "items": {}}),
        ({"type": "array", "items": {"const": "x"}}, {"type": "array", "items": {"type": "string", "enum": ["x"]}}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string", "nullable": True}),
        ({"oneOf": [{"type": "string"}, {"type": "number"}]}, {"anyOf": [{"type": "string"}, {"type": "number"}]}),
        ({"allOf": [{"type": "string"}], "title": "t"}, {"type": "string", "title": "t"}),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string", "$id": "x"}}}, {"type": "string"}),
        (
            {"type": "object", "properties": {"a": {"propertyNames": {}}}, "required": ["a", "b"]},
            {"type": "object", "properties": {"a": {}}, "required": ["a"]},
        ),
        (True, {}),
    ],
)
def test_a_schema_is_cut_to_what_gemini_takes(schema, expected):
    cleaned = clean({"properties": {"x": schema}, "$defs": schema.get("$defs", {}) if isinstance(schema, dict) else {}})
    assert cleaned["properties"]["x"] == expected


def test_a_schema_that_contains_itself_comes_to_an_end():
    schema = {"$ref": "#/$defs/node", "$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}}}}}
    assert json.dumps(clean(schema)).count("next") < 20


def chunk(*parts, finish=None, **fields):
    candidate = {"content": {"parts": list(parts), "role": "model"}}
    return {"candidates": [candidate | ({"finishReason": finish} if finish else {})], **fields}


def message(*chunks):
    answer = Answer("gemini", "pro", 9)
    return json.loads(collect([piece for one in chunks for piece in answer.take(one)] + answer.finish()))


USAGE = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 30,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 7,
}


def test_text_and_usage():
    early = {"promptTokenCount": 100}
    told = message(
        chunk({"text": "Hel"}, usageMetadata=early), chunk({"text": "lo"}, finish="STOP", usageMetadata=USAGE)
    )
    assert (told["content"], told["stop_reason"]) == ([{"type": "text", "text": "Hello"}], "end_turn")
    assert told["usage"] == {
        "input_tokens": 70,
        "cache_read_input_tokens": 30,
        "cache_creation_input_tokens": 0,
        "output_tokens": 12,
    }


def test_thoughts_are_signed_with_what_gemini_wants_back():
    told = message(
        chunk({"text": "hm", "thought": True}),
        chunk({"functionCall": {"name": "look", "args": {"a": 1}}, "thoughtSignature": "SIG"}, finish="STOP"),
    )
    assert told["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "gw1:gemini:SIG"}
    assert told["content"][1]["input"] == {"a": 1}
    assert told["stop_reason"] == "tool_use"


def test_a_signature_without_a_thought_is_carried_by_a_thought_of_no_words():
    told = message(chunk({"functionCall": {"name": "look"}, "thoughtSignature": "SIG"}, finish="STOP"))
    assert told["content"][0] == {"type": "thinking", "thinking": "", "signature": "gw1:gemini:SIG"}
    back = translated(messages=[{"role": "assistant", "content": told["content"]}])["contents"][0]["parts"]
    assert back == [{"functionCall": {"name": "look", "args": {}}, "thoughtSignature": "SIG"}]


def test_calls_in_one_answer_have_ids_of_their_own():
    told = message(chunk({"functionCall": {"name": "a"}}, {"functionCall": {"name": "a", "id": "x"}}, finish="STOP"))
    first, second = told["content"]
    assert first["id"].startswith("toolu_")
    assert second["id"] == "x"


@pytest.mark.parametrize(
    ("finish", "expected"),
    [("STOP", "end_turn"), ("MAX_TOKENS", "max_tokens"), ("SAFETY", "refusal"), (None, "end_turn")],
)
def test_the_reason_to_stop(finish, expected):
    assert message(chunk({"text": "x"}, finish=finish))["stop_reason"] == expected


def test_a_blocked_prompt_is_a_refusal():
    assert message({"promptFeedback": {"blockReason": "SAFETY"}})["stop_reason"] == "refusal"


@pytest.mark.parametrize("finish", ["MALFORMED_FUNCTION_CALL", "MISSING_THOUGHT_SIGNATURE", "OTHER"])
def test_an_answer_that_failed_is_an_error(finish):
    with pytest.raises(AnswerError, match=finish):
        message(chunk(finish=finish))


def test_other_with_words_is_an_answer():
    assert message(chunk({"text": "x"}, finish="OTHER"))["stop_reason"] == "end_turn"
