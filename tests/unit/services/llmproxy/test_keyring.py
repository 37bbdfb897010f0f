from collections import Counter

from services.llmproxy.keyring import Keyring
from services.llmproxy.resilience import Outcome


def firsts(ring, count, now=0.0):
    return [ring.pick(now)[0] for _ in range(count)]


def test_every_key_has_its_share_of_any_few_requests():
    ring = Keyring.of([("a", 3), ("b", 1)])
    assert firsts(ring, 8) == ["a", "a", "b", "a"] * 2
    assert Counter(firsts(Keyring.of([("a", 1), ("b", 1), ("c", 2)]), 400)) == {"a": 100, "b": 100, "c": 200}


def test_the_others_are_told_behind_it():
    assert Keyring.of([("a", 1), ("b", 5), ("c", 2)]).pick(0.0) == ["b", "c", "a"]


def test_a_provider_without_keys_has_the_empty_one():
    assert Keyring.of([]).pick(0.0) == [""]


def test_a_key_over_its_limit_rests_as_long_as_it_was_told_to_and_is_last_meanwhile():
    ring = Keyring.of([("a", 1), ("b", 1)])
    ring.told("a", Outcome(429, retry_after_seconds=20), now=100.0)
    assert ring.pick(119.0) == ["b", "a"]
    assert set(firsts(ring, 2, now=121.0)) == {"a", "b"}
    ring.told("a", Outcome(429), now=200.0)
    assert set(firsts(ring, 4, now=229.0)) == {"b"}
    assert "a" in firsts(ring, 2, now=231.0)


def test_when_all_rest_the_one_that_wakes_first_is_first():
    ring = Keyring.of([("a", 1), ("b", 1)])
    ring.told("a", Outcome(429, 20), 0.0)
    ring.told("b", Outcome(429, 10), 0.0)
    assert ring.pick(1.0) == ["b", "a"]


def test_a_refused_key_rests_longer_and_only_all_of_them_are_all():
    ring = Keyring.of([("a", 1), ("b", 1)])
    ring.told("a", Outcome(401), 0.0)
    assert set(firsts(ring, 5, now=299.0)) == {"b"}
    assert not ring.all_refused
    ring.told("b", Outcome(401), 0.0)
    assert ring.all_refused
    ring.told("b", Outcome(200), 0.0)
    assert not ring.all_refused
    assert ring.pick(1.0)[0] == "b"
