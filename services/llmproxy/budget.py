"""How many tokens a client's key may spend, what it has spent, and when it may go on."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil

from services.llmproxy.usage import Record, day_of


@dataclass(frozen=True, slots=True)
class Allowance:
    """One budget of one key as it stands."""

    window: str
    limit: int
    spent: int
    resets_at: datetime

    @property
    def remaining(self) -> int:
        """Tokens that are left."""
        return max(0, self.limit - self.spent)

    @property
    def headers(self) -> dict[str, str]:
        """What every answer says of it."""
        return {
            "x-pulsegate-budget-window": self.window,
            "x-pulsegate-budget-limit": f"{self.limit}",
            "x-pulsegate-budget-remaining": f"{self.remaining}",
            "x-pulsegate-budget-reset": _written(self.resets_at),
        }


class BudgetSpent(Exception):
    """A key has spent its budget; the message says so to the client."""

    def __init__(self, allowance: Allowance, now: float) -> None:
        reset = _written(allowance.resets_at)
        super().__init__(
            f"The budget of this key is spent: {allowance.spent:,} of {allowance.limit:,} tokens "
            f"{'today' if allowance.window == 'day' else 'this month'}. It begins anew at {reset}."
        )
        self.allowance = allowance
        self.retry_after_seconds = max(1, ceil(allowance.resets_at.timestamp() - now))


class Budgets:
    """The spending of every key against the same two limits; 0 means no limit. Days and months are UTC's.

    Every kind of token counts. Who begins within a budget may end beyond it: nobody knows beforehand what an answer
    costs, and nobody is cut off.
    """

    def __init__(self, per_day: int = 0, per_month: int = 0) -> None:
        self.per_day = per_day
        self.per_month = per_month
        self._day = ""
        self._today: Counter[str] = Counter()
        self._month: Counter[str] = Counter()

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return bool(self.per_day or self.per_month)

    def add(self, record: Record) -> None:
        """Count what a request spent."""
        self._turn_to(record.day)
        self._today[record.client] += record.tokens.total
        self._month[record.client] += record.tokens.total

    def learn(self, day: str, spent: Mapping[str, tuple[int, int]]) -> None:
        """Take what is known from elsewhere of a day and its month, where that is more: others write it down too."""
        self._turn_to(day)
        if day != self._day:
            return
        for client, (today, month) in spent.items():
            self._today[client] = max(self._today[client], today)
            self._month[client] = max(self._month[client], month)

    def spent(self, now: float) -> dict[str, tuple[int, int]]:
        """Tell what every key has spent today and this month."""
        self._turn_to(day_of(now))
        return {client: (self._today[client], self._month[client]) for client in sorted(self._month)}

    def require(self, client: str, now: float, told: tuple[int, int] = (0, 0)) -> Allowance | None:
        """Return the budget of which least is left; raises ``BudgetSpent`` when nothing is.

        ``told`` is what the key is said to have spent today and this month at all replicas together.
        """
        if not self.limited:
            return None
        self._turn_to(day_of(now))
        today, month = max(self._today[client], told[0]), max(self._month[client], told[1])
        midnight = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        next_month = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
        allowances = [
            Allowance("month", self.per_month, month, next_month),
            Allowance("day", self.per_day, today, midnight + timedelta(days=1)),
        ]
        # Of two that are spent the month's is told: the day's would promise too much.
        tightest = min((one for one in allowances if one.limit), key=lambda one: one.remaining)
        if not tightest.remaining:
            raise BudgetSpent(tightest, now)
        return tightest

    def _turn_to(self, day: str) -> None:
        """Begin a new day, and a new month; a clock that went back changes nothing."""
        if day <= self._day:
            return
        if day[:7] != self._day[:7]:
            self._month.clear()
        self._today.clear()
        self._day = day


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
