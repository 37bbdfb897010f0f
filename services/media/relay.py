"""One named stream that lives by its publishers: the one whose pictures are sent, and those that wait for its end."""

import time
from collections.abc import Callable
from dataclasses import replace

from services.media.fanout import Hub
from services.media.inbound import Inbound
from services.media.unit import CLOCK_RATES, Kind, Unit


class Relay:
    """Hands what one publisher sends to every viewer, unchanged.

    The source is the first publisher with video, else the first one; when it ends the next in order of arrival takes
    over at a key frame, while viewers keep their sessions and their numbering. Viewers may be there before any
    publisher. ``on_idle`` is called when neither is left.
    """

    def __init__(self, name: str, on_idle: Callable[["Relay"], None]) -> None:
        self.name = name
        self.hub = Hub(self._want_key, self._demand, self._limit)
        self.source: Inbound | None = None
        self.publishers: list[Inbound] = []
        self._on_idle = on_idle
        self._stop_listening: Callable[[], None] | None = None
        self._needs_key = True
        self._shift_seconds = 0.0
        self._last: dict[Kind, int] = {}
        self._wanted_since = self._fed_at = float("-inf")

    def add(self, inbound: Inbound) -> None:
        """Take a publisher until it ends."""
        self.publishers.append(inbound)
        inbound.on_end(lambda: self._remove(inbound))
        self._choose()

    @property
    def idle(self) -> bool:
        """Whether nobody publishes or views."""
        return not self.publishers and not self.hub.claimed()

    def starving(self, seconds: float) -> bool:
        """Whether viewers have waited so long for anything to come."""
        newest = max(self._wanted_since, self._fed_at)
        return self.hub.claimed() > 0 and time.monotonic() - newest > seconds

    def _remove(self, inbound: Inbound) -> None:
        self.publishers.remove(inbound)
        self._choose()
        if self.idle:
            self._on_idle(self)

    def _choose(self) -> None:
        best = min(self.publishers, key=lambda inbound: "video" not in inbound.kinds, default=None)
        if best is self.source:
            return
        if self._stop_listening:
            self._stop_listening()
            self._stop_listening = None
        self.source = best
        self.hub.cut()
        self._needs_key = True
        self._shift_seconds = 0.0
        if best:
            best.most_bitrate = self.hub.least_estimate()
            self._stop_listening = best.listen(self._forward)

    def _forward(self, unit: Unit) -> None:
        if unit.kind == "video":
            if self._needs_key and not unit.key:
                return
            self._needs_key = False
        self._fed_at = time.monotonic()
        self.hub.push(self._after_the_last(unit))

    def _after_the_last(self, unit: Unit) -> Unit:
        """Keep the clock rising where a publisher's begins a little before its predecessor's ended."""
        rate = CLOCK_RATES[unit.kind]
        stamp = unit.timestamp + round(self._shift_seconds * rate)
        if (last := self._last.get(unit.kind)) is not None and stamp <= last:
            self._shift_seconds += (last + 1 - stamp) / rate
            stamp = last + 1
        self._last[unit.kind] = stamp
        return unit if stamp == unit.timestamp else replace(unit, timestamp=stamp)

    def _want_key(self) -> bool:
        return self.source is not None and self.source.want_key()

    def _limit(self, bitrate: int) -> None:
        if self.source:
            self.source.most_bitrate = bitrate

    def _demand(self, wanted: bool) -> None:
        if wanted:
            self._wanted_since = time.monotonic()
        elif self.idle:
            self._on_idle(self)
