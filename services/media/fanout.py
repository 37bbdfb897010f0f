"""One stream to many viewers: packetised once, numbered once, kept once for who joins late or lost something."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable

from services.media import packetize
from services.media.line import HALF, Frame, Lane, Line
from services.media.unit import CLOCK_RATES, Kind, Unit

LONGEST_REPLAY_SECONDS = 0.4
_MOST_GOP_PACKETS = 4096
_MOST_BACKLOG = 128
_SLICE_SECONDS = 0.005
_LARGEST_DELAY_CHANGE_SECONDS, _DELAY_GROWTH_SECONDS = 1.0, 0.00002
_LONGEST_OBEDIENCE_SECONDS = 0.7
_SECONDS_BETWEEN_JOIN_KEYS, _SECONDS_BETWEEN_LOSS_KEYS = 0.2, 1.0


class Hub:
    """The fan-out of one stream.

    Units go in from the loop's thread by ``push``; viewers that ``claim`` it keep the source awake. A viewer starts
    at a key frame: at once by a replay of what followed the last one, if that is recent or the source cannot make
    one now or takes its time, else at one made for it.
    """

    def __init__(
        self,
        want_key: Callable[[], bool],
        on_demand: Callable[[bool], None],
        on_estimate: Callable[[int], None] = lambda _bitrate: None,
    ) -> None:
        self.lines: dict[Kind, Line] = {"video": Line("video"), "audio": Line("audio")}
        self.sent_packets = 0
        self.sent_octets = 0
        self.sent_again = 0
        self.dropped_units = 0
        self._want_key = want_key
        self._on_demand = on_demand
        self._on_estimate = on_estimate
        self._estimates: dict[int, int] = {}
        self._claims = 0
        self._delay: float | None = None
        self._backlog: deque[Unit] = deque()
        self._arrived = asyncio.Event()
        self._gop: list[Frame] = []
        self._gop_packets = 0
        self._gop_started = float("-inf")
        self._key_asked = float("-inf")
        self._first_asked: float | None = None
        self._deaf = False
        self._parameter_sets = b""
        self._taps: list[Callable[[Unit], None]] = []

    async def run(self) -> None:
        """Send what arrives until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_all(), name="fan-out")
            tasks.create_task(self._report_all(), name="sender reports")

    def push(self, unit: Unit) -> None:
        """Take a unit; when sending cannot keep up the oldest are dropped and a key frame is asked for."""
        if len(self._backlog) >= _MOST_BACKLOG:
            self.dropped_units += len(self._backlog)
            self._backlog.clear()
            self._gop.clear()
            for lane in self.lines["video"].lanes:
                lane.live = False
            self._want_key()
        self._backlog.append(unit)
        self._arrived.set()

    def claim(self) -> None:
        """Say that one more viewer is coming, so that the source runs when it is there."""
        self._claims += 1
        if self._claims == 1:
            self._want_key()
            self._on_demand(True)

    def release(self) -> None:
        """Say that a viewer which claimed is gone."""
        self._claims -= 1
        if self._claims == 0:
            self._on_demand(False)

    def tap(self, listener: Callable[[Unit], None]) -> Callable[[], None]:
        """Hand every unit to a listener as well, from a key frame on; the result ends that."""
        self._taps.append(listener)
        self.want_key(_SECONDS_BETWEEN_JOIN_KEYS)
        return lambda: self._taps.remove(listener)

    def join(self, kind: Kind, lane: Lane) -> None:
        """Start sending a track to a viewer."""
        line = self.lines[kind]
        if kind == "audio":
            self._start(lane, line.next_sequence)
        elif self._gop and (
            time.monotonic() - self._gop_started < LONGEST_REPLAY_SECONDS
            or not self.want_key(_SECONDS_BETWEEN_JOIN_KEYS)
            or self._deaf
        ):
            self._start(lane, self._gop[0].first_sequence)
            for frame in self._gop:
                self._send(lane, frame)
        else:
            self.want_key(_SECONDS_BETWEEN_JOIN_KEYS)
        line.lanes.append(lane)

    def leave(self, kind: Kind, lane: Lane) -> None:
        """Stop sending a track to a viewer, and forget what it could take."""
        self.lines[kind].lanes.remove(lane)
        lane.left = True
        if self._estimates.pop(id(lane), None) is not None:
            self._on_estimate(self.least_estimate())

    def estimated(self, lane: Lane, bitrate: int) -> None:
        """Take a viewer's estimate of the bits per second it can receive."""
        self._estimates[id(lane)] = bitrate
        self._on_estimate(self.least_estimate())

    def least_estimate(self) -> int:
        """Tell the smallest current estimate of a viewer; 0 while none has one."""
        return min(self._estimates.values(), default=0)

    def claimed(self) -> int:
        """Tell how many viewers there are or are coming."""
        return self._claims

    def cut(self) -> None:
        """Forget the pictures so far, because what comes now does not follow them."""
        self._backlog.clear()
        self._gop = []
        self._gop_started = self._key_asked = float("-inf")
        self._first_asked, self._deaf = None, False
        for lane in self.lines["video"].lanes:
            lane.live = False

    def lost(self, kind: Kind, lane: Lane, numbers: Iterable[int]) -> None:
        """Send again what a viewer lost."""
        self.sent_again += self.lines[kind].send_again(lane, numbers)

    def picture_lost(self) -> None:
        """Give viewers a key frame, at most one a second."""
        self.want_key(_SECONDS_BETWEEN_LOSS_KEYS)

    def want_key(self, least_interval: float) -> bool:
        """Ask the source for a key frame unless one came or was asked for just now; tells whether it can make one."""
        now = time.monotonic()
        if now - max(self._key_asked, self._gop_started) < least_interval:
            return True
        if not self._want_key():
            return False
        self._key_asked = now
        self._first_asked = self._first_asked or now
        return True

    async def _send_all(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._backlog:
                await self._send_unit(self._backlog.popleft())

    async def _send_unit(self, unit: Unit) -> None:
        line = self.lines[unit.kind]
        now = time.monotonic()
        for tap in self._taps:
            tap(unit)
        stands_at = self._stands_at(unit, now)
        if unit.kind == "audio":
            frame = line.frame(unit, [unit.data], stands_at)
        else:
            frame = line.frame(unit, self._payloads(unit), stands_at)
            self._remember(unit, frame, now)
        if not unit.key and not all(lane.live for lane in line.lanes):
            self.want_key(_SECONDS_BETWEEN_JOIN_KEYS)  # again: what was asked for may be lost, or not obeyed
        async for lane in _in_slices(line.lanes):
            if not lane.live:
                if not unit.key:
                    continue
                self._start(lane, frame.first_sequence)
            self._send(lane, frame)

    def _stands_at(self, unit: Unit, now: float) -> float:
        """Tell when a unit's moment was, for the reports that keep sound and picture together.

        Both kinds count on one clock, so they share the smallest delay seen between it and ours; a picture that came
        late by itself is then not taken for a slow clock. It is let grow a little, to follow a clock that is slow.
        """
        position = unit.timestamp / CLOCK_RATES[unit.kind]
        delay = now - position
        if self._delay is None or abs(delay - self._delay) > _LARGEST_DELAY_CHANGE_SECONDS:
            self._delay = delay
        self._delay = min(delay, self._delay + _DELAY_GROWTH_SECONDS)
        return position + self._delay

    def _payloads(self, unit: Unit) -> list[bytes]:
        if not unit.key:
            return packetize.h264(unit.data)
        in_band = packetize.parameter_sets(unit.data)
        self._parameter_sets = in_band or self._parameter_sets
        return packetize.h264(unit.data if in_band else self._parameter_sets + unit.data)

    def _remember(self, unit: Unit, frame: Frame, now: float) -> None:
        if unit.key:
            self._gop, self._gop_packets, self._gop_started = [], 0, now
            self._deaf = self._first_asked is not None and now - self._first_asked > _LONGEST_OBEDIENCE_SECONDS
            self._first_asked = None
        elif not self._gop:
            return
        self._gop.append(frame)
        self._gop_packets += len(frame.payloads)
        if self._gop_packets > _MOST_GOP_PACKETS:
            self._gop = []

    def _start(self, lane: Lane, first_sequence: int) -> None:
        if not lane.packets:  # later its numbers must go on, wherever they are
            lane.shift = 0 if first_sequence < HALF else HALF
        lane.live = True

    def _send(self, lane: Lane, frame: Frame) -> None:
        for template in frame.templates(lane.lane_class):
            lane.wire.send(template)
        lane.packets += len(frame.payloads)
        lane.octets += frame.octets
        self.sent_packets += len(frame.payloads)
        self.sent_octets += frame.octets

    async def _report_all(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            for line in self.lines.values():
                async for lane in _in_slices(line.lanes):
                    line.report(lane, time.monotonic(), time.time())


async def _in_slices(lanes: list[Lane]) -> AsyncIterator[Lane]:
    """Yield the lanes there are now, without those that leave meanwhile; control packets and calls stay prompt."""
    ends = time.monotonic() + _SLICE_SECONDS
    for lane in tuple(lanes):
        if time.monotonic() > ends:
            await asyncio.sleep(0)
            ends = time.monotonic() + _SLICE_SECONDS
        if not lane.left:
            yield lane
