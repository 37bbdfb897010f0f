from datetime import UTC, datetime

import pytest

from services.llmproxy.budget import Budgets, BudgetSpent
from services.llmproxy.usage import Record, Tokens

NOW = datetime(2026, 11, 22, 23, 59, 30, 500_000, UTC).timestamp()
DAY = 86400.0


def record(tokens=10, ended_at=NOW, client="k"):
    return Record(ended_at, client, "p", "m", "m", "ok", Tokens(tokens - 3, 1, 1, 1), 1.0)


def test_without_a_limit_anything_goes_and_nothing_is_said():
    budgets = Budgets()
    budgets.add(record(10**12))
    assert not budgets.limited
    assert budgets.require("k", NOW) is None


def test_a_day_ends_at_midnight_utc():
    budgets = Budgets(per_day=15)
    budgets.add(record())
    allowance = budgets.require("k", NOW)
    assert allowance.headers == {
        "x-pulsegate-budget-window": "day",
        "x-pulsegate-budget-limit": "15",
        "x-pulsegate-budget-remaining": "5",
        "x-pulsegate-budget-reset": "2026-11-23T00:00:00Z",
    }
    budgets.add(record())
    with pytest.raises(BudgetSpent) as refusal:
        budgets.require("k", NOW)
    assert str(refusal.value) == (
        "The budget of this key is spent: 20 of 15 tokens today. It begins anew at 2026-11-23T00:00:00Z."
    )
    assert refusal.value.retry_after_seconds == 30
    assert budgets.require("other", NOW).remaining == 15
    assert budgets.require("k", NOW + 60).remaining == 15


def test_a_month_goes_on_over_days_and_ends_with_the_year():
    december = datetime(2026, 12, 30, 12, tzinfo=UTC).timestamp()
    budgets = Budgets(per_month=20)
    budgets.add(record(ended_at=december))
    budgets.add(record(ended_at=december + DAY))
    with pytest.raises(BudgetSpent, match="2027-01-01T00:00:00Z"):
        budgets.require("k", december + DAY)
    assert budgets.require("k", december + 2 * DAY).remaining == 20


def test_of_two_budgets_the_tighter_one_is_told():
    budgets = Budgets(per_day=15, per_month=100)
    budgets.add(record())
    assert budgets.require("k", NOW).window == "day"
    budgets.learn("2026-11-22", {"k": (10, 99)})
    assert budgets.require("k", NOW).window == "month"
    budgets.learn("2026-11-22", {"k": (15, 100)})
    with pytest.raises(BudgetSpent, match="2026-12-01"):
        budgets.require("k", NOW)


def test_what_others_tell_counts_where_it_is_more():
    budgets = Budgets(per_day=15)
    budgets.add(record())
    assert budgets.require("k", NOW, (12, 12)).remaining == 3
    assert budgets.require("k", NOW, (1, 1)).remaining == 5
    budgets.learn("2026-11-22", {"k": (3, 3), "j": (4, 5)})
    assert budgets.spent(NOW) == {"j": (4, 5), "k": (10, 10)}


def test_what_is_told_of_yesterday_is_not_todays():
    budgets = Budgets(per_day=15)
    budgets.add(record())
    budgets.learn("2026-11-21", {"k": (100, 100)})
    assert budgets.spent(NOW) == {"k": (10, 10)}


def test_a_clock_that_goes_back_gives_nothing_back():
    budgets = Budgets(per_day=15)
    budgets.add(record())
    budgets.add(record(ended_at=NOW - DAY))
    with pytest.raises(BudgetSpent):
        budgets.require("k", NOW)
