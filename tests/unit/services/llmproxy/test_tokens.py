import json
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.llmproxy.tokens import SAMPLE_CHARACTERS, Sample, count, estimate, glance

ENGLISH = "The quick brown fox jumps over the lazy dog."
CHINESE = "这个网关把三个后端的健康状态如实地告诉每一个客户端。"
LONG = Path(__file__).read_text() * 40
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "source"]), inner),
    max_leaves=8,
)


def asked(content, **fields):
    return {"messages": [{"role": "user", "content": content}], **fields}


def test_everything_a_model_would_read_is_in_a_glance():
    message = {"role": "user", "content": "x" * 400}
    bare = glance({"messages": [message]})
    assert bare == 100
    assert glance({"messages": [message], "system": "y" * 400}) == 200
    assert glance({"messages": [message], "tools": [{"name": "z" * 400}]}) > 200


def test_a_request_without_anything_is_zero():
    assert glance({}) == estimate({}, "m") == count({}, "m") == 0


@pytest.mark.parametrize(
    ("model", "english", "chinese"),
    # As another implementation, bpe-openai 0.1.4, counts them with cl100k_base and o200k_base.
    [("claude-x", 10, 28), ("gpt-4-turbo", 10, 28), ("gpt-4o-mini", 10, 18), ("openai/gpt-5", 10, 18), ("o3", 10, 18)],
)
def test_a_model_is_counted_with_the_vocabulary_that_is_nearest_to_its_own(model, english, chinese):
    assert count(asked(ENGLISH), model) == english + 3
    assert count(asked(CHINESE), model) == chinese + 3


def test_text_is_the_same_wherever_it_stands():
    alone = count(asked(ENGLISH), "m") - 3
    blocks = [
        {"type": "text", "text": ENGLISH},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": ENGLISH}]},
        {"type": "tool_result", "tool_use_id": "t", "content": ENGLISH},
        {"type": "document", "source": {"type": "text", "data": ENGLISH}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": ENGLISH}]}},
        {"type": "search_result", "content": [{"type": "text", "text": ENGLISH}]},
    ]
    for block in blocks:
        assert count(asked([block]), "m") == alone + 3
    assert count(asked(ENGLISH, system=ENGLISH), "m") == 2 * alone + 3
    assert count(asked(ENGLISH, system=[{"type": "text", "text": ENGLISH}]), "m") == 2 * alone + 3


def test_tools_and_calls_of_them_count_by_their_json():
    schema = {"type": "object", "properties": {"path": {"type": "string"}}}
    tools = [{"name": "Read", "description": ENGLISH, "input_schema": schema}]
    called = asked([{"type": "tool_use", "id": "t", "name": "Read", "input": schema}])
    words = count(asked(json.dumps(schema, separators=(",", ":"))), "m") - 3
    assert count(asked("", tools=tools), "m") == 3 + 10 + 1 + words
    assert count(called, "m") == 3 + 1 + words


def test_thoughts_are_not_read_again():
    assert count(asked([{"type": "thinking", "thinking": ENGLISH, "signature": "s"}]), "m") == 3


def test_a_document_of_pages_counts_by_its_size():
    source = {"type": "base64", "media_type": "application/pdf", "data": b64encode(bytes(60_000)).decode()}
    assert count(asked([{"type": "document", "source": source}]), "m") == 2003


def test_a_long_request_is_estimated_from_slices_of_it():
    exact = count(asked(LONG), "m")
    assert estimate(asked(LONG), "m") == pytest.approx(exact, rel=0.05)
    assert estimate(asked(LONG), "m") != exact
    assert estimate(asked(ENGLISH), "m") == count(asked(ENGLISH), "m")


def test_words_that_are_special_to_a_vocabulary_are_text_here():
    assert count(asked("<|endoftext|>"), "m") > 4


@given(content=json_values, system=json_values, tools=json_values)
def test_whatever_a_stranger_sends_is_counted(content, system, tools):
    fields = asked(content, system=system, tools=tools if isinstance(tools, list) else [tools])
    assert count(fields, "m") >= 3
    assert estimate(fields, "m") >= 3


def test_the_beginning_of_a_text_stands_for_all_of_it():
    sample = Sample()
    for start in range(0, len(LONG), 7):
        sample.add(LONG[start : start + 7])
    assert sample.characters == len(LONG)
    beginning = count(asked(LONG[:SAMPLE_CHARACTERS]), "m") - 3
    assert sample.tokens("m") == pytest.approx(beginning * len(LONG) / SAMPLE_CHARACTERS, rel=0.01)
    assert Sample().tokens("m") == 0
