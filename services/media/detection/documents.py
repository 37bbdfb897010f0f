"""Events as clients of the original know them."""

from typing import Any

from services.media.detection.sighting import Detection
from services.media.detection.speech import Heard
from services.media.detection.vision import Seen
from services.media.detection.voice import CHUNK_SAMPLES, SAMPLE_RATE

Json = dict[str, Any]

_CHUNK_USEC = CHUNK_SAMPLES * 1_000_000 // SAMPLE_RATE


def vision(seen: Seen, source: str, stream: str, clip: str) -> Json:
    """Tell a sighting as ``vision.event.v1``; ``clip`` is the name of its film, if there is one."""
    data: Json = {**seen.sighting.data, "latencyUsec": seen.latency_usec}
    if seen.snapshot:
        data["snapshot"] = {"url": f"/artifacts/snapshots/{seen.snapshot}"}
    if clip:
        data["clip"] = {"url": f"/artifacts/clips/{clip}"}
    return {
        "schema": "vision.event.v1",
        "type": "detect",
        "detector": seen.detector,
        "source": source,
        "emittedAtUsec": seen.received_usec,
        "frame": {
            "sourceId": source,
            "streamId": f"stream/{stream}",
            "frameId": seen.frame_id,
            "ptsUsec": seen.pts_usec,
            "receivedAtUsec": seen.received_usec,
            "width": seen.width,
            "height": seen.height,
            "pixelFmt": seen.pixel_format,
            "keyframe": seen.key,
        },
        "detections": [_detection(one) for one in seen.sighting.detections],
        "tracks": [],
        "data": data,
    }


def speech(heard: Heard, source: str) -> Json:
    """Tell a word on speech."""
    voice = heard.voice
    return {
        "type": voice.change,
        "source": source,
        "detector": heard.detector,
        "time": heard.time_usec,
        "active": voice.active,
        "level": voice.level,
        "peak": voice.peak,
        "audio": {
            "sequence": heard.sequence,
            "time": heard.time_usec,
            "duration": _CHUNK_USEC,
            "sampleRate": SAMPLE_RATE,
            "channels": 1,
            "numSamples": CHUNK_SAMPLES,
            "sampleFmt": "flt",
        },
        "data": {"startThreshold": voice.start_threshold, "stopThreshold": voice.stop_threshold},
    }


def _detection(one: Detection) -> Json:
    return {
        "label": one.label,
        "confidence": one.confidence,
        "trackId": -1,
        "region": {"x": one.x, "y": one.y, "width": one.width, "height": one.height},
        "data": dict(one.data),
    }
