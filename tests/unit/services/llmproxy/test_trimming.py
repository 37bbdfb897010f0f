import pytest

from services.llmproxy.trimming import PROMPT_TOKENS, SHORT_SYSTEM, Prompt, Turn, fit


def said(*turns):
    roles = ["user", "assistant"] * len(turns)
    return [{"role": role, "content": text} for role, text in zip(roles, turns, strict=False)]


def test_a_small_conversation_stays_as_it_is():
    prompt = fit({"system": "Be kind.", "messages": said("a", "b", "c")})
    assert prompt == Prompt("Be kind.", [Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c")], frozenset())


def test_tools_are_dropped_and_said_to_be():
    assert fit({"tools": [{"name": "x"}], "messages": said("a")}).trimmed == {"tools"}


def test_a_long_system_text_is_replaced_and_said_to_be():
    prompt = fit({"system": [{"type": "text", "text": "word " * 1000}], "messages": said("a")})
    assert (prompt.system, prompt.trimmed) == (SHORT_SYSTEM, {"system"})


def test_the_attribution_line_of_claude_code_is_no_system_text():
    system = [{"type": "text", "text": "x-anthropic-billing-header: x"}, {"type": "text", "text": "Be kind."}]
    prompt = fit({"system": system, "messages": said("a")})
    assert (prompt.system, prompt.trimmed) == ("Be kind.", frozenset())


def test_the_newest_turns_stay_and_the_first_of_them_is_the_users():
    long = "x" * (2 * PROMPT_TOKENS)
    prompt = fit({"messages": said("first", long, long, "answer", "last")})
    assert [turn.text for turn in prompt.turns] == [long, "answer", "last"]
    assert prompt.trimmed == {"turns"}


def test_a_single_text_that_is_too_long_keeps_its_end():
    prompt = fit({"messages": said("x" * 100_000 + " what is this?")})
    assert prompt.turns[0].text.endswith("what is this?")
    assert len(prompt.turns[0].text) == 3 * PROMPT_TOKENS
    assert prompt.trimmed == {"text"}


def test_a_later_system_turn_is_folded_into_the_users():
    messages = [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}, {"role": "user", "content": "c"}]
    assert fit({"messages": messages}).turns == [Turn("user", "a\n\nb\n\nc")]


def test_tool_calls_and_results_become_words():
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "look", "input": {"at": "sky"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "blue"}]},
    ]
    assert [turn.text for turn in fit({"messages": messages}).turns] == [
        "a",
        '[called look with {"at":"sky"}]',
        "[result: blue]",
    ]


def test_pictures_are_left_out_and_said_to_be():
    messages = [{"role": "user", "content": [{"type": "image", "source": {}}, {"type": "text", "text": "what?"}]}]
    prompt = fit({"messages": messages})
    assert (prompt.turns, prompt.trimmed) == ([Turn("user", "[image left out]\n\nwhat?")], {"media"})


def test_thinking_is_not_repeated_to_the_model():
    content = [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "b"}]
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": content}]
    assert fit({"messages": messages}).turns[1] == Turn("assistant", "b")


def test_cutting_leaves_out_the_oldest_exchange_first():
    cut = fit({"messages": said("a", "b", "c")}).cut()
    assert (cut.turns, cut.trimmed) == ([Turn("user", "c")], {"turns"})


@pytest.mark.parametrize("text", ["x", "ab", "x" * 1001])
def test_cutting_the_last_text_comes_to_an_end(text):
    prompt = Prompt("", [Turn("user", text)])
    for _ in range(12):
        prompt = prompt.cut()
    assert prompt.turns == [Turn("user", "")]
    assert prompt.trimmed == {"text"}
