"""How many requests a minute one client may make."""

from collections import OrderedDict
from math import ceil

MOST_REMEMBERED = 10_000


class Rates:
    """Gives every client a minute's requests, which come back evenly."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, client: str, per_minute: int, now: float) -> int:
        """Take one request; with none left, tell in whole seconds when there will be one."""
        left, at = self._left.pop(client, (float(per_minute), now))
        left = min(per_minute, left + (now - at) * per_minute / 60)
        missing = round(1 - left, 6)  # sums of fractions are never quite whole
        wait = ceil(missing * 60 / per_minute) if missing > 0 else 0
        self._left[client] = (left if wait else left - 1, now)
        if len(self._left) > MOST_REMEMBERED:
            self._left.popitem(last=False)  # who has not asked for longest has most of them back
        return wait
