from services.llmproxy.usage import MOST_TOKENS, Record, Tokens, day_of, days_before


def test_tokens_are_read_from_an_answers_usage():
    usage = {"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 4}
    assert Tokens.of(usage) == Tokens(1, 2, 3, 4)
    assert Tokens.of(usage).total == 10
    assert Tokens.of({}) == Tokens()


def test_a_vendors_nonsense_is_held_within_bounds():
    assert Tokens.of({"input_tokens": -5, "output_tokens": 2**64 - 1}) == Tokens(0, MOST_TOKENS)


def test_a_day_is_utcs():
    assert day_of(1_800_000_000) == "2027-01-15"
    assert days_before(1_800_000_000, 15) == "2026-12-31"
    assert Record(1_800_000_000, "k", "p", "m", "m", "ok", Tokens(), 1.0).day == "2027-01-15"
