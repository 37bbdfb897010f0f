from services.llmproxy import rates
from services.llmproxy.rates import Rates


def test_a_minutes_requests_may_come_at_once_and_come_back_evenly():
    limits = Rates()
    assert [limits.wait_seconds("a", 3, 0.0) for _ in range(4)] == [0, 0, 0, 20]
    assert limits.wait_seconds("a", 3, 19.0) == 1
    assert limits.wait_seconds("a", 3, 20.0) == 0
    assert limits.wait_seconds("a", 3, 20.0) == 20


def test_the_told_wait_is_enough():
    limits = Rates()
    for _ in range(7):
        limits.wait_seconds("a", 7, 0.0)
    wait = limits.wait_seconds("a", 7, 0.0)
    assert limits.wait_seconds("a", 7, float(wait)) == 0


def test_clients_do_not_share_their_requests():
    limits = Rates()
    assert [limits.wait_seconds(client, 1, 0.0) for client in ("a", "b", "a")] == [0, 0, 60]


def test_a_pause_gives_no_more_than_a_minutes_requests():
    limits = Rates()
    limits.wait_seconds("a", 2, 0.0)
    assert [limits.wait_seconds("a", 2, 9999.0) for _ in range(3)] == [0, 0, 30]


def test_memory_is_bounded():
    limits = Rates()
    for number in range(rates.MOST_REMEMBERED + 5):
        limits.wait_seconds(f"{number}", 1, 0.0)
    assert len(limits._left) == rates.MOST_REMEMBERED
