"""What is looked for in pictures and sound, and what is kept of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from services.media.detection.motion import MotionDetector, MotionSettings
from services.media.detection.sighting import Detector
from services.media.detection.vision import VisionSettings
from services.media.detection.voice import VoiceSettings
from services.media.recording.folder import Keep
from services.media.settings import MediaSettings


@dataclass(frozen=True)
class DetectionSettings:
    """Everything detection can be told; what ends in ``usec`` is in microseconds."""

    vision_enabled: bool = False
    vision: VisionSettings = field(default_factory=VisionSettings)
    motion: MotionSettings = field(default_factory=MotionSettings)
    snapshots_enabled: bool = False
    snapshots_dir: str = ""
    snapshots_min_interval_usec: int = 1_000_000
    clips_enabled: bool = False
    clips_dir: str = ""
    clips_pre_roll_usec: int = 1_000_000
    clips_post_roll_usec: int = 3_000_000
    speech_enabled: bool = False
    speech_rule: str = "auto"
    speech_queue_depth: int = 32
    voice: VoiceSettings = field(default_factory=VoiceSettings)
    keep: Keep = field(default_factory=Keep)
    most_streams: int = 4


DETECTORS: dict[str, Callable[[DetectionSettings], Detector]] = {
    MotionDetector.name: lambda settings: MotionDetector(settings.motion),
}
"""Every detector of pictures; a new one is a class and a row here. Each stream has one of each kind to itself."""


def of(settings: MediaSettings) -> DetectionSettings:
    """Pick what detection is told from the settings of the process."""
    stop = settings.speech_stop_threshold
    return DetectionSettings(
        vision_enabled=settings.vision_enabled,
        vision=VisionSettings(
            settings.vision_every_nth_frame,
            settings.vision_min_interval_usec,
            settings.vision_queue_depth,
            settings.vision_width,
            settings.vision_height,
            settings.vision_pixel_format,
        ),
        motion=MotionSettings(
            settings.motion_grid_width,
            settings.motion_grid_height,
            settings.motion_warmup_frames,
            settings.motion_threshold,
            settings.motion_cooldown_usec,
        ),
        snapshots_enabled=settings.snapshots_enabled,
        snapshots_dir=settings.snapshots_dir or str(Path(settings.record_dir) / "snapshots"),
        snapshots_min_interval_usec=settings.snapshots_min_interval_usec,
        clips_enabled=settings.clips_enabled,
        clips_dir=settings.clips_dir or str(Path(settings.record_dir) / "clips"),
        clips_pre_roll_usec=settings.clips_pre_roll_usec,
        clips_post_roll_usec=settings.clips_post_roll_usec,
        speech_enabled=settings.speech_enabled,
        speech_rule=settings.speech_detector,
        speech_queue_depth=settings.speech_queue_depth,
        voice=VoiceSettings(
            max(settings.speech_start_threshold, stop),
            stop,
            settings.speech_min_silence_usec,
            settings.speech_update_interval_usec,
        ),
        keep=keep(settings),
        most_streams=settings.detection_most_streams,
    )


def keep(settings: MediaSettings) -> Keep:
    """Pick how much is kept of what is written."""
    return Keep(settings.record_quota_bytes, settings.record_keep_seconds, settings.record_free_bytes)
