import pytest

from services.llmproxy.predicates import Predicate


def holds(kind, operator, value, name="", tokens=100, **fields):
    return Predicate(kind, operator, value, name).holds({"model": "claude-x", **fields}, lambda: tokens)


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        (">", 99, True),
        (">", 100, False),
        (">=", 100, True),
        ("<", 100, False),
        ("<=", 100, True),
        ("==", 100, True),
        ("!=", 100, False),
        ("contains", 1, False),
    ],
)
def test_tokens_are_compared(operator, value, expected):
    assert holds("tokenCount", operator, value) is expected


def test_the_model_is_compared_as_text():
    assert holds("model", "contains", "claude")
    assert not holds("model", "contains", "gpt")
    assert holds("model", "==", "claude-x")
    assert holds("model", "!=", "other")
    assert not holds("model", ">", 5)


def test_a_parameter_is_there_or_not():
    assert holds("parameter", "==", "thinking", thinking={"type": "enabled"})
    assert holds("parameter", "contains", "tools", tools=[{}])
    assert not holds("parameter", "==", "tools", tools=[])
    assert holds("parameter", "!=", "tools")


def test_a_named_parameter_is_compared():
    assert holds("parameter", ">", 0.5, "temperature", temperature=0.7)
    assert not holds("parameter", ">", 0.5, "temperature")
    assert not holds("parameter", ">", 0.5, "temperature", temperature="hot")
    assert holds("parameter", "contains", "x", "stop_sequences", stop_sequences=["x"])
