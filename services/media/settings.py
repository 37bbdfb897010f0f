"""What the media process can be told, by its own names and by the documented ``ICEY_*`` variables."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, model_validator

from runtime.settings import BackendSettings

DEMO_CREDENTIAL = "icey"
MOST_TTL_SECONDS = 86_400


def _documented(variable: str, field: str) -> AliasChoices:
    return AliasChoices(f"PULSEGATE_MEDIA_{field.upper()}", f"ICEY_{variable}")


def _auto_is_true(value: object) -> object:
    return True if value == "auto" else value


Loop = Annotated[bool, BeforeValidator(_auto_is_true)]


class MediaSettings(BackendSettings):
    """Settings of the media process; the HTTP listener, its TLS, token and page belong to the gateway."""

    process: ClassVar[str] = "media"

    address: str = Field("127.0.0.1:50052", description="gRPC listener, host:port; port 0 picks a free one")
    metrics_address: str = Field("127.0.0.1:9102", description="Prometheus listener, host:port; `off` for none")
    icey_config: str = Field(
        "",
        description="icey-server configuration file, which must exist then; ./config.json if empty",
        validation_alias=_documented("CONFIG", "icey_config"),
    )
    host: str = Field(
        "127.0.0.1",
        description="documented bind host of HTTP and TURN: where TURN is looked for and what the config says of it",
        validation_alias=_documented("HOST", "host"),
    )

    mode: Literal["stream", "record", "relay"] = Field(
        "stream",
        description="stream a source, record or relay a publisher",
        validation_alias=_documented("MODE", "mode"),
    )
    source: str = Field(
        "testsrc",
        description="`testsrc` for the built-in picture and tone, or a file or URL",
        validation_alias=_documented("SOURCE", "source"),
    )
    record_dir: str = Field(
        "./recordings", description="folder of recordings", validation_alias=_documented("RECORD_DIR", "record_dir")
    )
    record_quota_bytes: int = Field(
        0,
        ge=0,
        description="bytes kept of recordings, snapshots and clips each, newest first; 0 for all",
    )
    record_keep_seconds: float = Field(
        0.0, ge=0, description="age at which recordings, snapshots, clips go; 0 for never"
    )
    record_free_bytes: int = Field(
        256 * 1024 * 1024, ge=0, description="bytes that stay free on the disk; below, nothing is recorded"
    )
    loop: Loop = Field(
        default=True, description="start a file again at its end", validation_alias=_documented("LOOP", "loop")
    )
    stream: str = Field("live", min_length=1, description="name of the default stream")
    passthrough_video: bool = Field(
        default=True, description="send H.264 that every browser can decode as it is instead of encoding it again"
    )
    video_width: int = Field(1280, ge=64, le=3840, description="largest picture width")
    video_height: int = Field(720, ge=64, le=2160, description="largest picture height")
    video_fps: int = Field(30, ge=1, le=60, description="most pictures per second")
    video_bitrate: int = Field(2_000_000, ge=50_000, le=50_000_000, description="bits per second of encoded video")
    audio_bitrate: int = Field(128_000, ge=6_000, le=510_000, description="bits per second of encoded audio")

    vision_enabled: bool = Field(default=False, description="detect motion")
    vision_every_nth_frame: int = Field(6, ge=1, description="every how many pictures one is looked at")
    vision_min_interval_usec: int = Field(200_000, ge=0, description="least time between pictures looked at")
    vision_queue_depth: int = Field(8, ge=1, le=1000, description="pictures to look at that may wait")
    vision_width: int = Field(0, ge=0, description="width to which pictures are brought before; 0 for their own")
    vision_height: int = Field(0, ge=0, description="height to which pictures are brought before; 0 for their own")
    vision_pixel_format: str = Field("", description="pixel format to which they are brought; empty for their own")
    motion_grid_width: int = Field(32, ge=1, le=256, description="columns of points that are compared")
    motion_grid_height: int = Field(18, ge=1, le=256, description="rows of points that are compared")
    motion_warmup_frames: int = Field(2, ge=0, description="pictures at the beginning that only prime the detector")
    motion_threshold: float = Field(0.08, ge=0, description="mean change of brightness that is motion, 0 to 1")
    motion_cooldown_usec: int = Field(500_000, ge=0, description="least time between two events of motion")
    snapshots_enabled: bool = Field(default=False, description="keep a PNG of every event of motion")
    snapshots_dir: str = Field("", description="folder of snapshots; empty for `snapshots` in the record directory")
    snapshots_min_interval_usec: int = Field(1_000_000, ge=0, description="least time between two snapshots")
    clips_enabled: bool = Field(default=False, description="keep an MP4 of every event of motion")
    clips_dir: str = Field("", description="folder of clips; empty for `clips` in the record directory")
    clips_pre_roll_usec: int = Field(1_000_000, ge=0, description="how long before an event its clip begins")
    clips_post_roll_usec: int = Field(3_000_000, ge=0, description="how long after the last event a clip ends")
    speech_enabled: bool = Field(default=False, description="detect speech")
    speech_detector: Literal["auto", "silero", "energy"] = Field(
        "auto", description="how speech is known: by Silero's network, or by how loud it is; auto: the better one here"
    )
    speech_queue_depth: int = Field(32, ge=1, le=10_000, description="packets of sound that may wait")
    speech_start_threshold: float = Field(0.045, ge=0, description="level at which speech begins, by the energy rule")
    speech_stop_threshold: float = Field(0.02, ge=0, description="level below which speech ends, by the energy rule")
    speech_min_silence_usec: int = Field(250_000, ge=0, description="silence that ends speech")
    speech_update_interval_usec: int = Field(250_000, ge=0, description="how often speech is told while it goes on")
    detection_most_streams: int = Field(4, ge=1, description="streams looked at and listened to at once")

    turn: Literal["auto", "true", "false"] = Field(
        "auto",
        description="whether viewers are told to use TURN; auto: while a TURN server answers on host and turn_port",
        validation_alias=_documented("TURN", "turn"),
    )
    disable_turn: bool = Field(
        default=False,
        description="the old spelling of `turn` being false, where `turn` itself is not told",
        validation_alias=_documented("DISABLE_TURN", "disable_turn"),
    )
    turn_look_seconds: float = Field(
        5.0, gt=0, description="how often `auto` looks for a TURN server until one has answered"
    )
    turn_port: int = Field(
        3478,
        ge=1,
        le=65535,
        description="port of the TURN server",
        validation_alias=_documented("TURN_PORT", "turn_port"),
    )
    turn_external_ip: str = Field(
        "",
        description="address by which viewers reach the TURN server",
        validation_alias=_documented("TURN_EXTERNAL_IP", "turn_external_ip"),
    )
    turn_secret: SecretStr = Field(
        SecretStr(""),
        description="shared with the TURN server; credentials are then minted for a limited time",
        validation_alias=_documented("TURN_SECRET", "turn_secret"),
    )
    turn_realm: str = Field(
        "0state.com", min_length=1, description="realm of the TURN server that `pulsegate run` starts"
    )
    turn_username: str = Field("", description="suffix of minted TURN user names")
    turn_ttl_seconds: int = Field(3600, description="validity of minted TURN credentials, a day at most")
    turn_local_relay: bool = Field(default=False, description="let TURN relay to private addresses")
    stun_urls: tuple[str, ...] = Field(
        ("stun:stun.l.google.com:19302",), description="STUN servers viewers are told of; this process asks none"
    )

    peer_id: str = Field("server", min_length=1, description="id of the server as signalling clients see it")
    peer_name: str = Field("Icey Server", min_length=1, description="name of the server as signalling clients see it")
    intelligence_as_object: bool = Field(
        default=False, description="show counters in place of the two documented booleans of `intelligence`"
    )

    candidate_addresses: tuple[str, ...] = Field(
        (), description="addresses offered to viewers; empty for every interface, loopback only if there is no other"
    )
    publish_bitrate: int = Field(
        2_500_000, ge=150_000, le=50_000_000, description="bits per second a publisher is told it may send at most"
    )
    max_viewers: int = Field(1000, ge=1, description="sessions at once; one more is refused")
    max_load: float = Field(
        0.9,
        ge=0,
        le=1,
        description="share of processor time used, over 5 seconds, from which on a session is refused; 0 for no limit",
    )
    setup_seconds: float = Field(10.0, gt=0, description="time a viewer gets to connect after its answer")
    silence_seconds: float = Field(8.0, gt=0, description="time without any sign of a viewer until it is dropped")
    fan_out: Literal["auto", "plain", "stock"] = Field(
        "auto",
        description="how packets leave: auto takes the fastest way that works here; stock decodes publishers, too",
    )

    @model_validator(mode="before")
    @classmethod
    def _old_spelling(cls, told: dict[str, Any]) -> dict[str, Any]:
        """Take ``disable_turn`` for ``turn``, so that it counts as told: it wins over the configuration file."""
        named = {name.removeprefix("PULSEGATE_MEDIA_").removeprefix("ICEY_").lower(): told[name] for name in told}
        if "turn" in named or str(named.get("disable_turn", "")).lower() not in {"1", "true", "t", "yes", "y", "on"}:
            return told
        return told | {"turn": "false"}
