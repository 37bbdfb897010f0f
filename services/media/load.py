"""How busy this process is: the share it uses of the processor time that it may use."""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_SAMPLES = 5
_SECONDS_BETWEEN_SAMPLES = 1.0
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Used:
    """Seconds so far: on the clock, of processor time of the calling thread, of all threads."""

    clock: float
    thread: float
    process: float


def used() -> Used:
    """Read the clocks; to be called in the loop's thread."""
    return Used(time.monotonic(), time.thread_time(), time.process_time())


class Load:
    """The busiest of two over the last seconds: the loop's thread, which sends to everybody, and all threads together.

    ``share`` is 1.0 when the loop has a whole processor's time, or the threads that encode and look at pictures have
    with it all that the machine or the control group allows. Time that other processes take is not in it.
    """

    def __init__(self, most: float, processors: float, read: Callable[[], Used] = used) -> None:
        self.most = most
        """The share from which on it is too much; 0 if it never is."""
        self._processors = processors
        self._read = read
        self._samples: deque[Used] = deque(maxlen=_SAMPLES + 1)

    @property
    def share(self) -> float:
        """Tell how busy it is; 0 until it has been watched for a few seconds."""
        if len(self._samples) <= _SAMPLES:
            return 0.0
        first, last = self._samples[0], self._samples[-1]
        seconds = last.clock - first.clock
        loop = (last.thread - first.thread) / seconds / min(1.0, self._processors)
        return max(loop, (last.process - first.process) / seconds / self._processors)

    @property
    def too_much(self) -> bool:
        """Whether nobody else should be served now."""
        return 0 < self.most <= self.share

    def sample(self) -> None:
        """Look at the clocks."""
        self._samples.append(self._read())

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Look every second until cancelled; tells when it has become too much, and when it is not any more."""
        while True:
            before = self.too_much
            self.sample()
            if self.too_much != before:
                on_change()
            await asyncio.sleep(_SECONDS_BETWEEN_SAMPLES)


def processors() -> float:
    """Tell how many processors this process may use: those it may run on, or what its control group allows (v2)."""
    allowed = float(len(os.sched_getaffinity(0)))
    for line in _text(_OWN_CGROUP).splitlines():
        number, _, place = line.partition("::")
        if number == "0":
            return min(allowed, quota(_text(_CGROUPS / place.lstrip("/") / "cpu.max")))
    return allowed


def quota(text: str) -> float:
    """Read a control group's ``cpu.max``, microseconds in each period or ``max``; infinite where there is no limit."""
    match text.split():
        case [most, period] if most.isdecimal() and period.isdecimal() and int(most) and int(period):
            return int(most) / int(period)
    return float("inf")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
