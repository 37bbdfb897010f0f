"""The documented JSON configuration file: which keys it has, what they must hold, where they lie under the settings."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.media.origin import Origin
from services.media.settings import MOST_TTL_SECONDS, MediaSettings

DEFAULT_PATH = "./config.json"

_TEXT, _FLAG, _NUMBER, _SHARE, _TEXTS = "a text", "true or false", "a whole number", "a number", "a list of texts"

# Every documented key with what it must hold; those without a field speak of the gateway's listener, and are judged but
# not used here.
_KEYS: dict[str, tuple[str, str]] = {
    "http.host": (_TEXT, "host"),
    "http.port": (_NUMBER, ""),
    "tls.cert": (_TEXT, ""),
    "tls.key": (_TEXT, ""),
    "auth.token": (_TEXT, ""),
    "auth.allowedOrigins": (_TEXTS, ""),
    "webRoot": (_TEXT, ""),
    "media.mode": (_TEXT, "mode"),
    "media.source": (_TEXT, "source"),
    "media.recordDir": (_TEXT, "record_dir"),
    "media.loop": (_FLAG, "loop"),
    "media.passthroughVideo": (_FLAG, "passthrough_video"),
    "media.video.codec": (_TEXT, ""),
    "media.video.width": (_NUMBER, "video_width"),
    "media.video.height": (_NUMBER, "video_height"),
    "media.video.fps": (_NUMBER, "video_fps"),
    "media.video.bitrate": (_NUMBER, "video_bitrate"),
    "media.audio.codec": (_TEXT, ""),
    "media.audio.channels": (_NUMBER, ""),
    "media.audio.sampleRate": (_NUMBER, ""),
    "media.audio.bitrate": (_NUMBER, "audio_bitrate"),
    "media.intelligence.vision.enabled": (_FLAG, "vision_enabled"),
    "media.intelligence.vision.everyNthFrame": (_NUMBER, "vision_every_nth_frame"),
    "media.intelligence.vision.minIntervalUsec": (_NUMBER, "vision_min_interval_usec"),
    "media.intelligence.vision.queueDepth": (_NUMBER, "vision_queue_depth"),
    "media.intelligence.vision.normalize.width": (_NUMBER, "vision_width"),
    "media.intelligence.vision.normalize.height": (_NUMBER, "vision_height"),
    "media.intelligence.vision.normalize.pixelFmt": (_TEXT, "vision_pixel_format"),
    "media.intelligence.vision.motion.gridWidth": (_NUMBER, "motion_grid_width"),
    "media.intelligence.vision.motion.gridHeight": (_NUMBER, "motion_grid_height"),
    "media.intelligence.vision.motion.warmupFrames": (_NUMBER, "motion_warmup_frames"),
    "media.intelligence.vision.motion.threshold": (_SHARE, "motion_threshold"),
    "media.intelligence.vision.motion.cooldownUsec": (_NUMBER, "motion_cooldown_usec"),
    "media.intelligence.vision.snapshots.enabled": (_FLAG, "snapshots_enabled"),
    "media.intelligence.vision.snapshots.dir": (_TEXT, "snapshots_dir"),
    "media.intelligence.vision.snapshots.minIntervalUsec": (_NUMBER, "snapshots_min_interval_usec"),
    "media.intelligence.vision.clips.enabled": (_FLAG, "clips_enabled"),
    "media.intelligence.vision.clips.dir": (_TEXT, "clips_dir"),
    "media.intelligence.vision.clips.preRollUsec": (_NUMBER, "clips_pre_roll_usec"),
    "media.intelligence.vision.clips.postRollUsec": (_NUMBER, "clips_post_roll_usec"),
    "media.intelligence.speech.enabled": (_FLAG, "speech_enabled"),
    "media.intelligence.speech.queueDepth": (_NUMBER, "speech_queue_depth"),
    "media.intelligence.speech.minSilenceUsec": (_NUMBER, "speech_min_silence_usec"),
    "media.intelligence.speech.updateIntervalUsec": (_NUMBER, "speech_update_interval_usec"),
    "media.intelligence.speech.startThreshold": (_SHARE, "speech_start_threshold"),
    "media.intelligence.speech.stopThreshold": (_SHARE, "speech_stop_threshold"),
    "turn.enabled": (_FLAG, "turn"),
    "turn.port": (_NUMBER, "turn_port"),
    "turn.realm": (_TEXT, "turn_realm"),
    "turn.externalIp": (_TEXT, "turn_external_ip"),
    "turn.username": (_TEXT, "turn_username"),
    "turn.secret": (_TEXT, "turn_secret"),
    "turn.credentialTtlSeconds": (_NUMBER, "turn_ttl_seconds"),
    "turn.allowLocalRelay": (_FLAG, "turn_local_relay"),
    "peer.id": (_TEXT, "peer_id"),
    "peer.name": (_TEXT, "peer_name"),
    "compat.intelligence": (_TEXT, "intelligence_as_object"),
    "stun.urls": (_TEXTS, "stun_urls"),
}
_GROUPS = {key.rpartition(".")[0] for key in _KEYS} | {"media", "media.intelligence"}
_FIRST_WORDS = {key.partition(".")[0] for key in _KEYS}
_MODES = ("stream", "record", "relay")
_FOLDERS = ("media.recordDir", "media.intelligence.vision.snapshots.dir", "media.intelligence.vision.clips.dir")

# What is too small is silently taken for the least that makes sense.
_LEAST = {
    "media.intelligence.vision.everyNthFrame": 1,
    "media.intelligence.vision.queueDepth": 1,
    "media.intelligence.vision.normalize.width": 0,
    "media.intelligence.vision.normalize.height": 0,
    "media.intelligence.vision.motion.gridWidth": 1,
    "media.intelligence.vision.motion.gridHeight": 1,
    "media.intelligence.vision.motion.threshold": 0,
    "media.intelligence.speech.queueDepth": 1,
}


class ConfigInvalid(Exception):
    """The file cannot be used; says why."""


@dataclass(frozen=True)
class ConfigFile:
    """What was found at the configuration file's place."""

    path: str = DEFAULT_PATH
    found: bool = False
    error: str = ""
    warnings: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    """Values by the name of the setting."""

    def lay_under(self, settings: MediaSettings) -> MediaSettings:
        """Take from the file what neither environment nor flags said; raises ``ConfigInvalid``."""
        told = {name: value for name, value in self.values.items() if name not in settings.model_fields_set}
        try:
            checked = MediaSettings.__pydantic_validator__.validate_python({**settings.model_dump(), **told})
        except ValueError as error:
            raise ConfigInvalid(str(error)) from None
        return settings.model_copy(update={name: getattr(checked, name) for name in told})


def read(asked: str) -> ConfigFile:
    """Read the file that was asked for, or the default one if it is there and meant for this server.

    Raises ``FileNotFoundError`` when the one asked for is missing.
    """
    path = asked or DEFAULT_PATH
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        if asked:
            raise
        return ConfigFile(path)
    except (OSError, UnicodeDecodeError) as error:
        return ConfigFile(path, found=True, error=str(error))
    try:
        document = _document(text)
        if not asked and not _FIRST_WORDS & document.keys():
            return ConfigFile(path)  # another server's: the default name is a common one
        values, warnings = parse(document, os.path.dirname(path))  # noqa: PTH120  keeps `./` as it was written
    except ConfigInvalid as error:
        return ConfigFile(path, found=True, error=str(error))
    return ConfigFile(path, True, "", warnings, values)


def parse(document: Mapping[str, Any], folder: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Tell the values by setting and the warnings; raises ``ConfigInvalid`` for the whole at the first wrong value."""
    values: dict[str, Any] = {}
    warnings: list[str] = []
    for key, value in _leaves(document):
        if key not in _KEYS:
            warnings.append(f"unknown config key '{key}' (ignored)")
            continue
        kind, name = _KEYS[key]
        _require(key, value, kind)
        if name:
            values[name] = _setting(key, value, folder)
    ttl = values.get("turn_ttl_seconds", 0)
    if ttl > MOST_TTL_SECONDS:
        warnings.append(f"turn.credentialTtlSeconds {ttl} clamped to {MOST_TTL_SECONDS}")
        values["turn_ttl_seconds"] = MOST_TTL_SECONDS
    return values, tuple(warnings)


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigInvalid(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    if not isinstance(document, dict):
        raise ConfigInvalid("expected an object")
    return document


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, one in value.items():
        key = f"{prefix}{name}"
        if isinstance(one, dict) and key in _GROUPS:
            yield from _leaves(one, f"{key}.")
        elif key in _GROUPS:
            raise ConfigInvalid(f"invalid {key}: expected an object")
        else:
            yield key, one


def _require(key: str, value: object, kind: str) -> None:
    fits = {
        _TEXT: isinstance(value, str),
        _FLAG: isinstance(value, bool),
        _NUMBER: isinstance(value, int) and not isinstance(value, bool),
        _SHARE: isinstance(value, int | float) and not isinstance(value, bool),
        _TEXTS: isinstance(value, list),
    }
    if not fits[kind]:
        raise ConfigInvalid(f"invalid {key}: expected {kind}")
    if key in ("http.port", "turn.port") and not 1 <= int(str(value)) <= 65_535:
        raise ConfigInvalid(f"invalid {key} {value}: expected 1..65535")
    if key == "media.mode" and value not in _MODES:
        raise ConfigInvalid(f"invalid media.mode '{value}': expected stream, record, or relay")


def _setting(key: str, value: Any, folder: str) -> Any:  # noqa: ANN401  what the file holds
    """Put a value into the form its setting has."""
    if key == "turn.enabled":
        return "true" if value else "false"
    if key == "compat.intelligence":
        return value == "object"
    if key == "stun.urls":
        return tuple(one for one in value if isinstance(one, str))
    if key in _LEAST:
        return max(_LEAST[key], value)
    if key in _FOLDERS or (key == "media.source" and Origin(value).kind == "file" and not Origin(value).remote):
        return os.path.join(folder, value) if folder not in ("", ".") and value else value  # noqa: PTH118  as above
    return value
