"""Detection in every stream of this process: who is looked at, and how much was found so far."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.media import scrub
from services.media.detection.look import Look, Shelf, Watched
from services.media.detection.settings import DetectionSettings
from services.media.detection.speech import Speech
from services.media.detection.vision import Vision
from services.media.detection.voice import best_rule
from services.media.events import Events
from services.media.news import News
from services.media.recording.folder import NoRoom, RecordFolder
from services.media.recording.recorder import Publisher
from services.media.recording.recordings import Recordings

_STALE_USEC = 2_000_000
_HOUSEKEEPING_SECONDS = 30.0

Json = dict[str, Any]

log = logging.getLogger(__name__)


class Detection:
    """Looks at streams and tells ``events``; more than ``most_streams`` at once wait until one of them ends.

    ``on_change`` is called when the details tell something new, once a second at most.
    """

    def __init__(self, settings: DetectionSettings, events: Events, on_change: Callable[[], None]) -> None:
        self.settings = settings
        self.rule, self.fallback = "", ""
        """How speech is judged, and why not better."""
        if settings.speech_enabled:
            rule, self.fallback = best_rule(settings.speech_rule, settings.voice)
            self.rule = rule.name
        self._events = events
        self._on_change = on_change
        snapshots = RecordFolder(Path(settings.snapshots_dir), settings.keep)
        self._clip_folder = RecordFolder(Path(settings.clips_dir), settings.keep)
        self._clips = Recordings(self._clip_folder, News(events).clip, _nobody)
        self._shelf = Shelf(snapshots, self._clips)
        self._looks: dict[Watched, Look] = {}
        self._passed_over: dict[Watched, None] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._past: Counter[str] = Counter()
        self._last = {"snapshot": "", "clip": "", "score": 0.0, "latency": 0, "level": 0.0, "peak": 0.0}
        self._rates = {"sourceFps": 0.0, "sampledFps": 0.0}

    @property
    def enabled(self) -> bool:
        """Whether anything is looked for."""
        return self.settings.vision_enabled or self.settings.speech_enabled

    @property
    def passed_over(self) -> int:
        """How many streams wait to be looked at."""
        return len(self._passed_over)

    @property
    def vision_active(self) -> bool:
        """Whether there are pictures to look at now."""
        now = time.time_ns() // 1000
        return any(now - one.counters.last_picture_usec < _STALE_USEC for one in self._visions())

    @property
    def speech_active(self) -> bool:
        """Whether there is sound to listen to now."""
        now = time.time_ns() // 1000
        return any(now - one.counters.last_sound_usec < _STALE_USEC for one in self._speeches())

    def watch(self, watched: Watched) -> None:
        """Look at a stream from now on until it ends."""
        if not self.enabled:
            return
        if len(self._looks) < self.settings.most_streams:
            self._look_at(watched)
        else:
            self._passed_over[watched] = None
        watched.on_end(lambda: self._end(watched))

    async def close(self) -> None:
        """Look at nothing more, and complete every clip."""
        self._passed_over.clear()
        for watched in tuple(self._looks):
            self._end(watched)
        await asyncio.gather(*self._closing)
        await self._clips.close()

    async def keep_up(self) -> None:
        """Measure rates, tell of what changed and keep house, until cancelled."""
        if self.settings.clips_enabled and self.settings.vision_enabled:
            try:
                await asyncio.to_thread(self._clip_folder.make)
            except NoRoom as error:
                log.warning("no clips", extra={"reason": str(error)})
        housekeeping, told, before = 0.0, None, self._sums()
        while True:
            if time.monotonic() > housekeeping:
                housekeeping = time.monotonic() + _HOUSEKEEPING_SECONDS
                await asyncio.to_thread(self._keep_house)
            began = time.monotonic()
            await asyncio.sleep(1.0)
            now, seconds = self._sums(), time.monotonic() - began
            self._rates["sourceFps"] = round((now["seen"] - before["seen"]) / seconds, 1)
            self._rates["sampledFps"] = round((now["sampled"] - before["sampled"]) / seconds, 1)
            before = now
            news = (now, dict(self._rates), self.vision_active, self.speech_active)
            if news != told:
                told = news
                self._on_change()

    def vision_detail(self) -> Json:
        """Tell the counters of vision by their documented names."""
        sums, visions, settings = self._sums(), self._visions(), self.settings
        self._remember()
        last = self._last
        return {
            "seen": sums["seen"],
            "sampledFrames": sums["sampled"],
            "sampledDropped": sums["sampled_dropped"],
            "normalizedFrames": sums["normalized"],
            "normalizerDropped": sums["normalizer_dropped"],
            "normalizerConverted": sums["normalizer_converted"],
            "queueDepth": sum(one.inbox.depth for one in visions),
            "queueDropped": sums["vision_dropped"],
            "detectorSeen": sums["vision_detector_seen"],
            "detectorEmitted": sums["vision_detector_emitted"],
            "lastScore": last["score"],
            "sourceFrames": sums["seen"],
            **self._rates,
            "lastLatencyUsec": last["latency"],
            "snapshots": sums["snapshots"],
            "clips": self._clips.written,
            "clipActive": self._clips.active > 0,
            "lastSnapshotUrl": last["snapshot"] and f"/artifacts/snapshots/{last['snapshot']}",
            "lastClipUrl": last["clip"] and f"/artifacts/clips/{last['clip']}",
            "snapshotsEnabled": settings.snapshots_enabled,
            "clipsEnabled": settings.clips_enabled,
            "snapshotDir": scrub.last_component(settings.snapshots_dir),
            "clipDir": scrub.last_component(settings.clips_dir),
        }

    def speech_detail(self) -> Json:
        """Tell the counters of speech by their documented names, and the detector's."""
        sums, speeches = self._sums(), self._speeches()
        self._remember()
        return {
            "detector": self.rule,
            "queueDepth": sum(one.inbox.depth for one in speeches),
            "queueDropped": sums["speech_dropped"],
            "detectorSeen": sums["speech_detector_seen"],
            "detectorEmitted": sums["speech_detector_emitted"],
            "vadActive": any(one.counters.voiced for one in speeches),
            "lastLevel": self._last["level"],
            "lastPeak": self._last["peak"],
        }

    def _keep_house(self) -> None:
        for folder in (self._shelf.snapshots, self._clip_folder):
            folder.mend_all()
            folder.tidy()

    def _look_at(self, watched: Watched) -> None:
        self._looks[watched] = Look(watched, self.settings, self._shelf, self._events)

    def _end(self, watched: Watched) -> None:
        self._passed_over.pop(watched, None)
        if look := self._looks.pop(watched, None):
            self._past += _counted(look)
            task = asyncio.create_task(look.close(), name="end of detection")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            if waiting := next(iter(self._passed_over), None):
                del self._passed_over[waiting]
                self._look_at(waiting)

    def _sums(self) -> Counter[str]:
        return sum((_counted(look) for look in self._looks.values()), Counter(self._past))

    def _remember(self) -> None:
        """Keep the latest numbers of streams, so that they stay when a stream is gone."""
        for look in self._looks.values():
            self._last["snapshot"] = look.last_snapshot or self._last["snapshot"]
            self._last["clip"] = look.last_clip or self._last["clip"]
            if look.vision:
                self._last["score"] = look.vision.counters.last_score
                self._last["latency"] = look.vision.counters.last_latency_usec
            if look.speech:
                self._last["level"] = look.speech.counters.last_level
                self._last["peak"] = look.speech.counters.last_peak

    def _visions(self) -> list[Vision]:
        return [look.vision for look in self._looks.values() if look.vision]

    def _speeches(self) -> list[Speech]:
        return [look.speech for look in self._looks.values() if look.speech]


async def _nobody(_: Publisher) -> None:
    """Hang up on nobody when a clip cannot be written."""


def _counted(look: Look) -> Counter[str]:
    sums: Counter[str] = Counter(snapshots=look.snapshots)
    if look.vision:
        counters = look.vision.counters
        sums.update(
            seen=counters.seen,
            sampled=counters.sampled,
            sampled_dropped=counters.sampled_dropped,
            normalized=counters.normalized,
            normalizer_dropped=counters.normalizer_dropped,
            normalizer_converted=counters.normalizer_converted,
            vision_detector_seen=counters.detector_seen,
            vision_detector_emitted=counters.detector_emitted,
            vision_dropped=look.vision.inbox.dropped,
        )
    if look.speech:
        sums.update(
            speech_detector_seen=look.speech.counters.detector_seen,
            speech_detector_emitted=look.speech.counters.detector_emitted,
            speech_dropped=look.speech.inbox.dropped,
        )
    return sums
