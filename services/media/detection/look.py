"""One stream that is looked at and listened to."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import av

from services.media.detection import documents
from services.media.detection.clips import Clips
from services.media.detection.settings import DETECTORS, DetectionSettings
from services.media.detection.snapshots import Snapshots
from services.media.detection.speech import Heard, Speech
from services.media.detection.vision import Seen, Vision
from services.media.detection.voice import VoiceDetector, best_rule
from services.media.events import Event, Events
from services.media.recording.folder import RecordFolder
from services.media.recording.recordings import Recordings
from services.media.unit import Unit


class Watched(Protocol):
    """A stream to look at: what a publisher sends, or a source."""

    @property
    def stream(self) -> str:
        """Its name."""
        ...

    @property
    def label(self) -> str:
        """What it is shown as, and its files are called after."""
        ...

    @property
    def publisher(self) -> str:
        """Whole id of its session; empty for a source."""
        ...

    def listen(self, listener: Callable[[Unit], None]) -> Callable[[], None]:
        """Hand every unit to a listener; the result ends that."""
        ...

    def want_key(self) -> bool:
        """Ask for a key frame."""
        ...

    def on_end(self, function: Callable[[], None]) -> None:
        """Call a function once nothing comes any more."""
        ...


@dataclass(frozen=True)
class Shelf:
    """Where what is kept of events goes."""

    snapshots: RecordFolder
    clips: Recordings


class Look:
    """The branches of one stream, each on its own thread; ``push`` never waits for them."""

    def __init__(self, watched: Watched, settings: DetectionSettings, shelf: Shelf, events: Events) -> None:
        self.vision: Vision | None = None
        self.speech: Speech | None = None
        self.snapshots = 0
        self.last_snapshot = self.last_clip = ""
        self._watched = watched
        self._events = events
        self._clips: Clips | None = None
        self._snapshots: Snapshots | None = None
        if settings.vision_enabled:
            self._see(settings, shelf)
        if settings.speech_enabled:
            make_detector = partial(_voice_detector, settings)
            self.speech = Speech(make_detector, settings.speech_queue_depth, self._on_voice)
        self._stop_listening = watched.listen(self.push)

    def push(self, unit: Unit) -> None:
        """Take a unit, on the loop."""
        branch = self.vision if unit.kind == "video" else self.speech
        if branch:
            branch.inbox.put(unit)
        if self._clips:
            self._clips.push(unit)

    async def close(self) -> None:
        """Look and listen no more; a clip that is being made is completed."""
        self._stop_listening()
        for branch in (self.vision, self.speech):
            if branch:
                await branch.close()
        if self._clips:
            self._clips.end()

    def _see(self, settings: DetectionSettings, shelf: Shelf) -> None:
        label = self._watched.label
        if settings.clips_enabled:
            pre, post = settings.clips_pre_roll_usec / 1e6, settings.clips_post_roll_usec / 1e6
            self._clips = Clips(shelf.clips, label, self._watched.want_key, pre, post)
        if settings.snapshots_enabled:
            self._snapshots = Snapshots(shelf.snapshots, label, settings.snapshots_min_interval_usec)
        detectors = [make(settings) for make in DETECTORS.values()]
        self.vision = Vision(settings.vision, detectors, self._watched.want_key, self._on_sighting, self._keep)

    def _keep(self, frame: av.VideoFrame, pts_usec: int, at_usec: int) -> str:
        return self._snapshots.keep(frame, pts_usec, at_usec) if self._snapshots else ""

    def _on_sighting(self, seen: Seen) -> None:
        clip = self._clips.event() if self._clips else ""
        self.snapshots += bool(seen.snapshot) and seen.snapshot != self.last_snapshot
        self.last_snapshot = seen.snapshot or self.last_snapshot
        self.last_clip = clip or self.last_clip
        self._tell("vision", documents.vision(seen, self._watched.label, self._watched.stream, clip))

    def _on_voice(self, heard: Heard) -> None:
        self._tell("speech", documents.speech(heard, self._watched.label))

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        self._events.tell(Event(kind, data, self._watched.publisher))


def _voice_detector(settings: DetectionSettings) -> VoiceDetector:
    rule, _ = best_rule(settings.speech_rule, settings.voice)
    return VoiceDetector(rule, settings.voice)
