import pytest

from services.llmproxy.chat import request
from services.llmproxy.dialects import DIALECTS, GENERIC

OPENAI = DIALECTS["openai"]


def translated(dialect=OPENAI, model="gpt-4o", **fields):
    fields = {"model": "x", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], **fields}
    return request(fields, model, dialect)


def user(*blocks):
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def text(words):
    return {"type": "text", "text": words}


USE = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "sky"}}
USE_2 = {"type": "tool_use", "id": "toolu_2", "name": "hear", "input": {}}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAA"}}
PICTURE_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAA"}}


def result(tool_use_id="toolu_1", **fields):
    return {"type": "tool_result", "tool_use_id": tool_use_id, **fields}


def test_a_plain_request():
    assert translated(temperature=0.5, top_p=0.9, top_k=5, stop_sequences=["a"], unknown=1) == {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["a"],
    }


def test_a_stream_asks_for_usage_where_that_is_possible():
    assert translated(stream=True)["stream_options"] == {"include_usage": True}
    assert "stream_options" not in translated(DIALECTS["mistral"], stream=True)


def test_a_missing_max_tokens_is_the_documented_default():
    assert request({"messages": [{"role": "user", "content": "x"}]}, "m", GENERIC)["max_tokens"] == 4096


def test_deepseeks_cap_is_kept():
    assert translated(DIALECTS["deepseek"], max_tokens=64000)["max_tokens"] == 8192


def test_stop_sequences_are_cut_to_what_the_vendor_takes():
    assert len(translated(stop_sequences=list("abcdefgh"))["stop"]) == 4


def test_system_blocks_are_joined_without_the_attribution_line():
    system = [text("x-anthropic-billing-header: cc"), text("one"), {**text("two"), "cache_control": {}}]
    assert translated(system=system)["messages"][0] == {"role": "system", "content": "one\n\ntwo"}


@pytest.mark.parametrize("model", ["o3", "o4-mini", "gpt-5.2"])
def test_a_reasoning_model_gets_its_own_fields(model):
    body = translated(model=model, system="s", temperature=1, output_config={"effort": "xhigh"})
    assert body["messages"][0]["role"] == "developer"
    assert (body["max_completion_tokens"], body["reasoning_effort"]) == (100, "xhigh")
    assert not body.keys() & {"max_tokens", "temperature"}


def test_a_thinking_budget_becomes_effort_for_reasoning_models_only():
    thinking = {"type": "enabled", "budget_tokens": 10000}
    assert translated(model="o3", thinking=thinking)["reasoning_effort"] == "medium"
    assert "reasoning_effort" not in translated(thinking=thinking)
    assert translated(DIALECTS["openrouter"], thinking=thinking)["reasoning"] == {"effort": "medium"}


def test_a_system_message_in_the_middle_stays_or_is_folded():
    messages = [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}, {"role": "user", "content": "c"}]
    assert translated(messages=messages)["messages"] == messages
    assert translated(GENERIC, messages=messages)["messages"] == [
        {"role": "user", "content": "a\n\n<system>\nb\n</system>\n\nc"}
    ]


def test_calls_become_tool_calls_and_content_without_words_is_null():
    message = translated(messages=[assistant(USE)])["messages"][0]
    assert message == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "toolu_1", "type": "function", "function": {"name": "look", "arguments": '{"at":"sky"}'}}
        ],
    }


def test_results_come_first_right_behind_the_calls_whatever_their_order():
    messages = [assistant(USE, USE_2), user(text("and?"), result("toolu_2", content="b"), result(content=[text("a")]))]
    assert [(one["role"], one["content"]) for one in translated(messages=messages)["messages"][1:]] == [
        ("tool", "b"),
        ("tool", "a"),
        ("user", "and?"),
    ]


def test_nothing_that_was_said_between_parts_results_from_their_calls():
    system = {"role": "system", "content": "s"}
    messages = [user(text("?")), assistant(USE, USE_2), system, user(text("x"), result()), user(result("toolu_2"))]
    body = translated(messages=[*messages, assistant(text("y")), system])
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["user", "assistant", "tool", "tool", "system", "user", "assistant", "system"]


def test_an_error_an_empty_result_and_a_picture_are_told_in_words_a_tool_message_can_hold():
    messages = [
        user(result(content="bad", is_error=True)),
        user(result()),
        user(result(content=[PICTURE])),
    ]
    told = translated(messages=messages)["messages"]
    assert [one["content"] for one in told if one["role"] == "tool"] == [
        "[error] bad",
        "(no output)",
        "(see the image below)",
    ]
    assert told[-1] == {"role": "user", "content": [PICTURE_PART]}


def test_pictures_and_documents_become_parts():
    url = {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}
    pdf = {
        "type": "document",
        "title": "a.pdf",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "P"},
    }
    note = {"type": "document", "source": {"type": "text", "data": "words"}}
    assert translated(messages=[user(PICTURE, url, pdf, note, text("?"))])["messages"][0]["content"] == [
        PICTURE_PART,
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,P"}},
        {"type": "text", "text": "words"},
        {"type": "text", "text": "?"},
    ]


def test_a_vendor_without_pictures_is_told_that_there_was_one():
    content = translated(DIALECTS["groq"], messages=[user(PICTURE, text("?"))])["messages"][0]["content"]
    assert content == "[image left out: the model takes none]\n\n?"


THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "gw1:deepseek:"}


def test_thoughts_go_back_to_who_needs_them_and_are_dropped_elsewhere():
    messages = [assistant(THOUGHT, USE)]
    assert translated(DIALECTS["deepseek"], messages=messages)["messages"][0]["reasoning_content"] == "hm"
    assert translated(DIALECTS["openrouter"], messages=messages)["messages"][0]["reasoning"] == "hm"
    assert "hm" not in str(translated(messages=messages))
    assert "redacted" not in str(
        translated(messages=[assistant({"type": "redacted_thinking", "data": "redacted"}, USE)])
    )


TOOL = {"name": "look", "description": "d", "input_schema": {"type": "object", "$schema": "s"}, "cache_control": {}}


def test_tools_are_functions_and_server_tools_are_dropped():
    body = translated(tools=[TOOL, {"type": "web_search_20250305", "name": "web_search"}])
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "look", "description": "d", "parameters": {"type": "object", "$schema": "s"}},
        }
    ]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "any"}, "required"),
        ({"type": "tool", "name": "look"}, {"type": "function", "function": {"name": "look"}}),
    ],
)
def test_the_choice_of_tools(choice, expected):
    assert translated(tools=[TOOL], tool_choice=choice)["tool_choice"] == expected


def test_mistral_has_its_own_word_for_any_tool_and_its_own_ids():
    mistral = DIALECTS["mistral"]
    messages = [assistant(USE), user(result(content="blue"))]
    body = translated(mistral, messages=messages, tools=[TOOL], tool_choice={"type": "any"})
    assert body["tool_choice"] == "any"
    call_id = body["messages"][0]["tool_calls"][0]["id"]
    assert len(call_id) == 9
    assert call_id.isalnum()
    assert body["messages"][1]["tool_call_id"] == call_id
    assert mistral.tool_id("abcDEF123") == "abcDEF123"


def test_mistrals_turns_alternate_even_with_pictures():
    messages = [user(text("a")), user(PICTURE), assistant(text("b")), assistant(text("c"))]
    told = translated(DIALECTS["mistral"], messages=messages)["messages"]
    assert told == [
        {"role": "user", "content": [{"type": "text", "text": "a"}, PICTURE_PART]},
        {"role": "assistant", "content": "b\n\nc"},
    ]


def test_one_call_at_a_time_can_be_asked_for():
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    assert translated(tools=[TOOL], tool_choice=choice)["parallel_tool_calls"] is False


def test_who_the_user_is_is_only_told_as_a_hash_and_only_where_it_is_taken():
    metadata = {"user_id": '{"device":"d"}'}
    assert len(translated(metadata=metadata)["safety_identifier"]) == 64
    assert "metadata" not in translated(GENERIC, metadata=metadata)
    assert "safety_identifier" not in translated(GENERIC, metadata=metadata)


def test_a_wanted_shape_becomes_a_response_format():
    output = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    assert translated(output_config=output)["response_format"]["json_schema"]["schema"] == {"type": "object"}
