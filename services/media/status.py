"""What the media process says of itself, in the words of the contract."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version

import av
from cryptography.hazmat.backends.openssl import backend as openssl

from gen.media.v1 import media_pb2
from runtime.health import Component, Health
from services.media import clock, preflight, scrub
from services.media.config_file import ConfigFile
from services.media.detection.detection import Detection
from services.media.load import Load
from services.media.origin import Origin
from services.media.peers import Peers
from services.media.recording.recordings import Recordings
from services.media.settings import MediaSettings
from services.media.signalling import Signalling
from services.media.streams import Streams

SOURCE, TURN, RECORD_DIR = "media.source", "media.turn", "media.record_dir"
ID_PREFIX = 6
"""Characters of a session's id that may be shown: the whole one is a credential."""

LOCAL_FILE_GONE = "Local media source not found:"

MODES = {
    "stream": media_pb2.MODE_STREAM,
    "record": media_pb2.MODE_RECORD,
    "relay": media_pb2.MODE_RELAY,
}
_RESULTS = {
    "pass": media_pb2.Check.RESULT_PASS,
    "warn": media_pb2.Check.RESULT_WARN,
    "fail": media_pb2.Check.RESULT_FAIL,
}


@dataclass(frozen=True)
class Activity:
    """Whatever goes on in this process and is counted."""

    load: Load
    peers: Peers
    streams: Streams
    recordings: Recordings
    detection: Detection
    signalling: Signalling


class StatusBook:
    """Builds the status document from settings, health and peers; nothing in it ticks."""

    def __init__(self, settings: MediaSettings, file: ConfigFile, health: Health, activity: Activity) -> None:
        self._settings = settings
        self._file = file
        self._health = health
        self._peers = activity.peers
        self._streams = activity.streams
        self._recordings = activity.recordings
        self._detection = activity.detection
        self._signalling = activity.signalling
        self._origin = Origin(settings.source)
        self._known = known(settings, file)
        self._started_at = datetime.now(UTC)
        self._draining = False
        self._on_drain: list[Callable[[], None]] = []

    def drain(self) -> None:
        """Say from now on that the process is ending."""
        self._draining = True

    def turn_enabled(self) -> bool:
        """Whether viewers are told to use TURN."""
        if self._settings.turn == "auto":
            return self._health.serving(TURN)
        return self._settings.turn == "true"

    def source_error(self) -> str:
        """Tell why there is no picture now; empty while there is one."""
        return self._reason(SOURCE)

    def turn(self) -> media_pb2.Turn:
        """Describe the TURN server as viewers are to use it."""
        return turn_of(self._settings, enabled=self.turn_enabled())

    def readiness(self) -> media_pb2.Preflight:
        """Make the report from what is known now."""
        return preflight_of(preflight.report(self._facts()))

    def build(self) -> media_pb2.MediaStatus:
        """Build the whole document."""
        settings, counts = self._settings, self._peers.counts()
        document = media_pb2.MediaStatus(
            version=version("pulsegate"),
            pid=os.getpid(),
            state=media_pb2.MediaStatus.STATE_DRAINING if self._draining else media_pb2.MediaStatus.STATE_RUNNING,
            mode=MODES[settings.mode],
            peer=media_pb2.Peer(id=settings.peer_id, name=settings.peer_name, type="server"),
            sessions=media_pb2.Sessions(
                active=counts.active, total=counts.total, peak=counts.peak, failed=counts.failed
            ),
            preflight=self.readiness(),
            source=source_of(self._origin),
            loop=settings.loop,
            stream=settings.stream,
            record_dir=scrub.record_dir(settings.record_dir),
            turn=self.turn(),
            config=config_of(self._file),
            intelligence=self._intelligence(),
            relay=self._relay(),
            recordings=media_pb2.Recordings(active=self._recordings.active, written=self._recordings.written),
            signalling_peers=self._signalling.connected,
            health=[_component(component) for component in self._health.report()],
        )
        document.started_at.FromDatetime(self._started_at)
        return document

    def _relay(self) -> media_pb2.Relay:
        relayed = self._streams.relayed()
        source = next((one.source for one in relayed if one.name == self._settings.stream), "")
        return media_pb2.Relay(
            source_peer=source[:ID_PREFIX],
            viewers=sum(one.viewers for one in relayed),
            streams=[
                media_pb2.Relay.Stream(
                    name=one.name,
                    source_peer=one.source[:ID_PREFIX],
                    waiting_peers=[peer[:ID_PREFIX] for peer in one.waiting],
                    viewers=one.viewers,
                )
                for one in relayed
            ],
        )

    def _intelligence(self) -> media_pb2.Intelligence:
        settings, detection = self._settings, self._detection
        message = media_pb2.Intelligence(
            vision_enabled=settings.vision_enabled,
            speech_enabled=settings.speech_enabled,
            vision_active=detection.vision_active,
            speech_active=detection.speech_active,
            as_object=settings.intelligence_as_object,
        )
        if settings.vision_enabled:
            message.vision_detail.update(detection.vision_detail())
        if settings.speech_enabled:
            message.speech_detail.update(detection.speech_detail())
        return message

    def _facts(self) -> preflight.Facts:
        lost = self.source_error()
        return replace(
            self._known,
            source_error=lost,
            source_missing=lost.startswith(LOCAL_FILE_GONE),
            turn_enabled=self.turn_enabled(),
            turn_watched=any(component.name == TURN for component in self._health.report()),
            turn_error=self._reason(TURN),
            record_dir_error=self._reason(RECORD_DIR),
            speech_rule=self._detection.rule,
            speech_fallback=self._detection.fallback,
            streams_passed_over=self._detection.passed_over,
            clock_synchronised=clock.synchronised(),
            full=self._peers.full(),
        )

    def _reason(self, name: str) -> str:
        """Tell why a component does not serve; empty while it does or is not looked at."""
        for component in self._health.report():
            if component.name == name and not component.serving:
                return component.last_error
        return ""


def known(settings: MediaSettings, file: ConfigFile) -> preflight.Facts:
    """Tell what is known before anything runs, as if nothing else were amiss."""
    return preflight.Facts(
        mode=settings.mode,
        origin=Origin(settings.source),
        source_error="",
        source_missing=False,
        config_path=file.path,
        config_found=file.found,
        config_error=file.error,
        config_warnings=file.warnings,
        openssl=openssl.openssl_version_text().removeprefix("OpenSSL "),
        libavformat=".".join(str(part) for part in av.library_versions["libavformat"]) + f" ({av.ffmpeg_version_info})",
        host=settings.host,
        turn_enabled=settings.turn == "true",
        turn_external_ip=settings.turn_external_ip,
        turn_secret=bool(settings.turn_secret.get_secret_value()),
        turn_watched=False,
        turn_error="",
        clock_synchronised=True,
        vision=settings.vision_enabled,
        speech=settings.speech_enabled,
        record_dir_error="",
        speech_rule="",
        speech_fallback="",
        streams_passed_over=0,
        full="",
    )


def preflight_of(report: preflight.Report) -> media_pb2.Preflight:
    """Write a report down as a message."""
    return media_pb2.Preflight(
        checks=[
            media_pb2.Check(name=check.name, result=_RESULTS[check.result], detail=check.detail)
            for check in report.checks
        ],
        warnings=report.warnings,
        degraded=report.degraded,
    )


def source_of(origin: Origin) -> media_pb2.Source:
    """Describe the source as it may be shown."""
    return media_pb2.Source(value=origin.shown, kind=origin.kind, remote=origin.remote)


def turn_of(settings: MediaSettings, *, enabled: bool) -> media_pb2.Turn:
    """Describe the TURN server as viewers are to use it."""
    return media_pb2.Turn(
        enabled=enabled,
        host=settings.turn_external_ip or settings.host,
        port=settings.turn_port,
        external_ip=settings.turn_external_ip,
        local_relay=settings.turn_local_relay,
    )


def config_of(file: ConfigFile) -> media_pb2.ConfigFile:
    """Describe the configuration file as it may be shown."""
    path = scrub.last_component(file.path)
    return media_pb2.ConfigFile(path=path, exists=file.found, valid=not file.error, error=scrub.reason(file.error))


def _component(component: Component) -> media_pb2.ComponentHealth:
    message = media_pb2.ComponentHealth(
        name=component.name, serving=component.serving, last_error=scrub.text(component.last_error)
    )
    message.since.FromDatetime(component.since)
    return message
