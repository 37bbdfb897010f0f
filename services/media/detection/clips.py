"""Films of events, from a little before the first to a little after the last, not encoded again."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from services.media.recording.folder import finished
from services.media.recording.recorder import KEY_SECONDS
from services.media.recording.recordings import Recordings
from services.media.unit import Kind, Unit

LONGEST_SECONDS = 60.0
"""After this a clip ends, and events that go on begin another one."""

_MOST_KEPT_BYTES = 8 * 1024 * 1024

Listener = Callable[[Unit], None]


class Clip:
    """One clip as its recorder sees it: a publisher that begins in the past and ends when nothing happens any more."""

    def __init__(self, label: str, kinds: tuple[Kind, ...], want_key: Callable[[], bool], past: list[Unit]) -> None:
        self.publisher = ""
        self.label = label
        self.kinds = kinds
        self.want_key = want_key
        self.begun = time.monotonic()
        self._past = past
        self._listener: Listener | None = None
        self._on_end: list[Callable[[], None]] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Hand every unit to the recorder, those of the past first."""
        for unit in self._past:
            listener(unit)
        self._past = []
        self._listener = listener
        return self._forget

    def on_end(self, function: Callable[[], None]) -> None:
        """Call a function when the clip is over."""
        self._on_end.append(function)

    def push(self, unit: Unit) -> None:
        """Take a unit."""
        if self._listener:
            self._listener(unit)

    def end(self) -> None:
        """Say that the clip is over."""
        for function in self._on_end:
            function()

    def _forget(self) -> None:
        self._listener = None


class Clips:
    """Keeps the last seconds of one stream, and makes a clip of them and of what follows when something happens."""

    def __init__(
        self, recordings: Recordings, label: str, want_key: Callable[[], bool], pre_seconds: float, post_seconds: float
    ) -> None:
        self._recordings = recordings
        self._label = label
        self._want_key = want_key
        self._pre_seconds = pre_seconds
        self._post_seconds = post_seconds
        self._groups: deque[list[tuple[Unit, float]]] = deque()
        self._bytes = 0
        self._last_key = time.monotonic()
        self._heard: set[Kind] = set()
        self._clip: Clip | None = None
        self._name = ""
        self._timer: asyncio.TimerHandle | None = None

    def push(self, unit: Unit) -> None:
        """Take a unit of the stream, on the loop."""
        now = time.monotonic()
        if unit.kind == "video" and unit.key:
            self._groups.append([])
            self._last_key = now
        elif now - self._last_key > KEY_SECONDS:
            self._last_key = now
            self._want_key()
        if self._groups:
            self._groups[-1].append((unit, now))
            self._bytes += len(unit.data)
            self._heard.add(unit.kind)
        while self._groups and (self._too_old(now) or self._bytes > _MOST_KEPT_BYTES):
            self._bytes -= sum(len(kept.data) for kept, _ in self._groups.popleft())
        if self._clip:
            self._clip.push(unit)

    def event(self) -> str:
        """Begin a clip, or go on with the one that is being made; tells the name of its file, if it can be made."""
        if self._clip and time.monotonic() - self._clip.begun > LONGEST_SECONDS:
            self.end()
        if self._clip is None and self._groups:
            past = [unit for group in self._groups for unit, _ in group]
            kinds: tuple[Kind, ...] = ("video", "audio") if "audio" in self._heard else ("video",)
            self._clip = Clip(self._label, kinds, self._want_key, past)
            self._name = finished(self._recordings.record(self._clip).path).name
        if self._clip:
            if self._timer:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(self._post_seconds, self.end)
        return self._name if self._clip else ""

    def end(self) -> None:
        """Complete the clip that is being made, if any."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._clip:
            self._clip.end()
            self._clip = None

    def _too_old(self, now: float) -> bool:
        """Whether the oldest group is not needed: the next one begins early enough."""
        return len(self._groups) > 1 and self._groups[1][0][1] <= now - self._pre_seconds
