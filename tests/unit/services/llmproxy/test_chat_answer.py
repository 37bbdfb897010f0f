import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.llmproxy.chat import Answer, failure
from services.llmproxy.events import collect, parse_arguments
from services.llmproxy.messages import AnswerError

USAGE = {"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 40}}


def chunk(finish_reason=None, usage=None, **delta):
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"choices": [choice], **({"usage": usage} if usage else {})}


def call(index=..., call_id=..., name=None, arguments=None):
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    given = {"index": index, "id": call_id, "function": function}
    return chunk(tool_calls=[{key: value for key, value in given.items() if value is not ...}])


def told(*chunks, stops=()):
    answer = Answer("openai", "gpt", 50, stops)
    pieces = [piece for one in chunks for piece in answer.take(one)] + answer.finish()
    check_order(pieces)
    return pieces


def check_order(pieces):
    """Every stream is well formed: one start, one block open at a time, indices that rise by one, one end."""
    names = [piece.event for piece in pieces]
    assert names[0] == "message_start"
    assert names.count("message_start") == names.count("message_stop") == names.count("message_delta") == 1
    assert names[-2:] == ["message_delta", "message_stop"]
    is_open, count = None, 0
    for piece in pieces:
        fields = json.loads(piece.data)
        assert fields["type"] == piece.event
        if piece.event == "content_block_start":
            assert is_open is None
            assert fields["index"] == count
            is_open, count = count, count + 1
        elif piece.event == "content_block_delta":
            assert fields["index"] == is_open
        elif piece.event == "content_block_stop":
            assert fields["index"] == is_open
            is_open = None
    assert is_open is None


def message(*chunks, **options):
    return json.loads(collect(told(*chunks, **options)))


def test_text_is_one_block_and_starts_with_real_text():
    pieces = told(
        chunk(role="assistant", content=""),
        chunk(content=None),
        chunk(content="Hel"),
        chunk(content="lo"),
        chunk("stop"),
    )
    assert [piece.event for piece in pieces] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


@pytest.mark.parametrize(
    "chunks",
    [
        [chunk(content="x"), chunk("stop"), {"choices": [], "usage": USAGE}],
        [chunk(content="x"), chunk("stop", usage=USAGE)],
        [chunk(content="x", usage={"prompt_tokens": 1}), chunk("stop", usage=USAGE)],
        [{"choices": [], "usage": USAGE}, chunk("stop", content="x")],
    ],
)
def test_usage_is_the_last_that_was_told_wherever_it_stands(chunks):
    usage = message(*chunks)["usage"]
    assert usage == {
        "input_tokens": 60,
        "cache_read_input_tokens": 40,
        "cache_creation_input_tokens": 0,
        "output_tokens": 7,
    }


def test_deepseeks_cache_hits_and_cache_writes_are_counted():
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "prompt_cache_hit_tokens": 4}
    assert message(chunk("stop", usage=usage, content="x"))["usage"]["cache_read_input_tokens"] == 4
    usage = {"prompt_tokens": 10, "prompt_tokens_details": {"cache_write_tokens": 3}}
    assert message(chunk("stop", usage=usage, content="x"))["usage"]["cache_creation_input_tokens"] == 3


def test_without_usage_it_is_estimated():
    answer = Answer("openai", "gpt", 50)
    answer.take(chunk(content="x" * 40))
    end = json.loads(answer.finish()[-2].data)
    usage = end["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], answer.estimated) == (50, 5, True)
    assert end["usage_estimated"] is True


def test_usage_that_the_vendor_counted_is_not_called_an_estimate():
    assert "usage_estimated" not in json.loads(told(chunk("stop", usage=USAGE, content="x"))[-2].data)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        (None, "end_turn"),
        ("something_new", "end_turn"),
    ],
)
def test_the_reason_to_stop(reason, expected):
    assert message(chunk(reason, content="x"))["stop_reason"] == expected


def test_a_named_stop_sequence_is_told():
    last = {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop", "stop_reason": "END"}]}
    told = message(last, stops=["END"])
    assert (told["stop_reason"], told["stop_sequence"]) == ("stop_sequence", "END")
    told = message(last)
    assert (told["stop_reason"], told["stop_sequence"]) == ("end_turn", None)


def test_an_error_as_reason_is_an_error():
    answer = Answer("openrouter", "m", 1)
    answer.take(chunk("error", content="x"))
    with pytest.raises(AnswerError):
        answer.finish()


def test_an_error_inside_the_stream_is_an_error_with_its_words_redacted():
    with pytest.raises(AnswerError, match=r"no quota for \[redacted\]") as failed:
        Answer("o", "m", 1).take({"error": {"message": "no quota for sk-abcdef123456", "code": 402}})
    assert failed.value.status == 402


@pytest.mark.parametrize("reason", ["tool_calls", "stop", "length", None])
def test_a_call_makes_the_reason_tool_use_whatever_the_vendor_says(reason):
    told = message(call(0, "a", "look", '{"at":'), call(0, arguments='"sky"}'), chunk(reason))
    assert told["stop_reason"] == "tool_use"
    assert told["content"] == [{"type": "tool_use", "id": "a", "name": "look", "input": {"at": "sky"}}]


LOOK = {"type": "tool_use", "id": "a", "name": "look", "input": {"x": 1}}
HEAR = {"type": "tool_use", "id": "b", "name": "hear", "input": {"y": 2}}


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(
            [
                call(0, "a", "look", ""),
                call(0, arguments='{"x":1}'),
                call(1, "b", "hear", ""),
                call(1, arguments='{"y":2}'),
            ],
            id="one after the other",
        ),
        pytest.param(
            [
                call(0, "a", "look", '{"x"'),
                call(1, "b", "hear", '{"y"'),
                call(0, arguments=":1}"),
                call(1, arguments=":2}"),
            ],
            id="interleaved",
        ),
        pytest.param(
            [call(0, "a", "look", '{"x":1}'), call(0, "b", "hear", '{"y"'), call(0, arguments=":2}")],
            id="one index for all, ids differ",
        ),
        pytest.param(
            [call(call_id="a", name="look", arguments='{"x":1}'), call(call_id="b", name="hear", arguments='{"y":2}')],
            id="no index",
        ),
        pytest.param(
            [
                call(call_id="a", name="look", arguments='{"x"'),
                call(arguments=":1}"),
                call(call_id="b", name="hear", arguments='{"y":2}'),
            ],
            id="no index, then no id",
        ),
        pytest.param(
            [
                call(0, "a", "look", '{"x"'),
                call(0, "a", "look", ":1}"),
                call(1, "b", "hear", '{"y"'),
                call(1, "", "", ":2}"),
            ],
            id="ids and names repeated or empty",
        ),
        pytest.param([call(5, "a", "look", {"x": 1}), call(9, "b", "hear", {"y": 2})], id="objects, odd indices"),
        pytest.param(
            [call(0, "a", None, '{"x"'), call(0, None, "look", ":1}"), call(1, "b", "hear", '{"y":2}')],
            id="the name comes late",
        ),
    ],
)
def test_calls_come_out_whole_however_their_pieces_come_in(chunks):
    assert message(*chunks, chunk("tool_calls"))["content"] == [LOOK, HEAR]


def test_arguments_pass_through_as_they_come():
    pieces = told(call(0, "a", "look", ""), call(0, arguments='{"x'), call(0, arguments='":1}'), chunk("tool_calls"))
    parts = [json.loads(one.data)["delta"]["partial_json"] for one in pieces if one.event == "content_block_delta"]
    assert parts == ['{"x', '":1}']


def test_a_call_without_arguments_has_an_empty_input():
    assert message(call(0, "a", "look"), chunk("tool_calls"))["content"][0]["input"] == {}


def test_a_call_without_an_id_gets_one_and_odd_ids_are_made_fit():
    assert message(call(0, name="look", arguments="{}"))["content"][0]["id"].startswith("toolu_")
    assert message(call(0, "functions.look:0", "look", "{}"))["content"][0]["id"] == "functions_look_0"


def test_text_after_a_call_opens_a_new_block():
    told = message(chunk(content="a"), call(0, "a", "look", '{"x":1}'), chunk(content="b"), chunk("stop"))
    assert [block["type"] for block in told["content"]] == ["text", "tool_use", "text"]


def test_text_after_interleaved_calls_comes_behind_both():
    told = message(call(0, "a", "look", '{"x":1}'), call(1, "b", "hear", '{"y":2}'), chunk(content="c"), chunk("stop"))
    assert [block["type"] for block in told["content"]] == ["tool_use", "tool_use", "text"]


def test_arguments_behind_a_text_are_not_lost_and_the_text_waits_for_them():
    told = message(
        call(0, "a", "look", '{"x"'),
        chunk(content="c"),
        call(1, "b", "hear", '{"y"'),
        call(0, arguments=":1}"),
        chunk(reasoning="hm"),
        call(1, arguments=":2}"),
    )
    assert told["content"] == [
        LOOK,
        {"type": "text", "text": "c"},
        HEAR,
        {"type": "thinking", "thinking": "hm", "signature": "gw1:openai:"},
    ]


def test_what_waits_for_a_call_is_told_as_soon_as_the_call_is_complete():
    answer = Answer("openai", "gpt", 50)
    answer.take(call(0, "a", "look", '{"x"'))
    assert answer.take(chunk(content="c")) == []
    told = [piece.event for piece in answer.take(call(0, arguments=":1}"))]
    assert told == ["content_block_delta", "content_block_stop", "content_block_start", "content_block_delta"]


def test_the_second_of_two_calls_streams_once_the_first_is_complete():
    answer = Answer("openai", "gpt", 50)
    answer.take(call(0, "a", "look", '{"x":1}'))
    told = answer.take(call(1, "b", "hear", '{"y'))
    assert [piece.event for piece in told] == ["content_block_stop", "content_block_start", "content_block_delta"]


@pytest.mark.parametrize("placeholder", ["", "{}"])
def test_a_call_whose_arguments_may_still_come_is_not_closed_by_a_text(placeholder):
    told = message(call(0, "a", "look", placeholder), chunk(content="c"), chunk("stop"))
    assert [block["type"] for block in told["content"]] == ["tool_use", "text"]
    assert told["content"][0]["input"] == {}


@pytest.mark.parametrize("again", ["", " ", '{"x":1}'])
def test_arguments_that_are_said_again_behind_a_closed_call_are_not_told_twice(again):
    told = message(call(0, "a", "look", '{"x":1}'), chunk(content="c"), call(0, arguments=again))
    assert told["content"] == [LOOK, {"type": "text", "text": "c"}]


def test_a_call_that_goes_on_behind_its_end_is_an_error_and_no_loss():
    answer = Answer("openai", "gpt", 50)
    answer.take(call(0, "a", "look", '{"x":1}'))
    answer.take(chunk(content="c"))
    with pytest.raises(AnswerError, match="finished call"):
        answer.take(call(0, arguments=',"z":2}'))


@given(st.permutations([0] * 4 + [1] * 4 + ["text"] * 3))
def test_no_piece_is_lost_however_calls_and_text_are_mixed(order):
    inputs = [{"key": key, "more": "xyz"} for key in (0, 1)]
    written = [iter([json.dumps(one)[at : at + 8] for at in range(0, 32, 8)]) for one in inputs]
    chunks, texts = [], iter("abc")
    for one in order:
        chunks.append(chunk(content=next(texts)) if one == "text" else call(one, f"id{one}", "n", next(written[one])))
    content = message(*chunks, chunk("stop"))["content"]
    assert "".join(block["text"] for block in content if block["type"] == "text") == "abc"
    told = [block["input"] for block in content if block["type"] == "tool_use"]
    assert sorted(told, key=lambda one: one["key"]) == inputs


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_a_signed_thought_before_the_text(name):
    told = message(chunk(**{name: "h"}), chunk(**{name: "m"}), chunk(content="x"), chunk("stop"))
    thought, text = told["content"]
    assert thought == {"type": "thinking", "thinking": "hm", "signature": "gw1:openai:"}
    assert text == {"type": "text", "text": "x"}


def test_reasoning_alone_is_still_signed():
    assert message(chunk(reasoning="h"), chunk("length"))["content"][0]["signature"] == "gw1:openai:"


def test_a_refusal_is_text_with_its_reason():
    told = message(chunk(refusal="no"), chunk("stop"))
    assert (told["content"], told["stop_reason"]) == ([{"type": "text", "text": "no"}], "refusal")


def test_a_whole_completion_is_one_chunk():
    whole = {
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": [{"type": "text", "text": "x"}],
                    "reasoning_content": "hm",
                    "tool_calls": [{"id": "a", "function": {"name": "look", "arguments": '{"x":1}'}}],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": USAGE,
    }
    told = message(whole)
    assert [block["type"] for block in told["content"]] == ["thinking", "text", "tool_use"]
    assert (told["model"], told["stop_reason"], told["usage"]["output_tokens"]) == ("openai/gpt", "tool_use", 7)


def test_other_choices_than_the_first_are_not_mixed_in():
    both = {"choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}}]}
    assert message(both)["content"] == [{"type": "text", "text": "a"}]


def test_a_torn_answer_closes_its_block_and_says_error():
    answer = Answer("o", "m", 1)
    answer.take(chunk(content="x"))
    torn = answer.writer.torn(AnswerError(502, "cut"))
    assert [piece.event for piece in torn] == ["content_block_stop", "error"]
    assert Answer("o", "m", 1).writer.torn(AnswerError(502, "cut")) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        (" ", {}),
        ('{"a":1}', {"a": 1}),
        ('{"a":1', {"a": 1}),
        ('{"a":"b', {"a": "b"}),
        ("[1]", {"_raw": "[1]"}),
        ("{oops", {"_raw": "{oops"}),
    ],
)
def test_arguments_are_read_repaired_or_kept(text, expected):
    assert parse_arguments(text) == expected


def test_a_vendors_error_may_be_a_bare_text():
    assert str(failure("broken", 500)) == "broken"
    assert failure({"message": "x", "code": "invalid"}, 400).status == 400
