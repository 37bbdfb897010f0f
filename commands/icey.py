"""What icey-server's own flags `--doctor` and `--version` print; nothing is started and nothing bound."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from gateway import icey
from gateway.facades.media import listener_of, payloads
from gateway.settings import GatewaySettings
from gen.media.v1 import media_pb2
from runtime.settings import FILE_EXIT, Explanation, explain, load
from services.media import config_file, preflight, status, turn
from services.media.config_file import ConfigFile, ConfigInvalid
from services.media.origin import Origin
from services.media.settings import MediaSettings
from services.media.sources import SourceMissing, must_open

FLAGS = frozenset({"--doctor", "--version"})
NOT_READY_EXIT = 1


def main(arguments: Sequence[str]) -> int:
    """Print the version, or the preflight report: 0 if the server would be ready, 1 if not, 2 and 3 as at a start."""
    if "--version" in arguments:
        print(f"{payloads.SERVICE} {version('pulsegate')}")
        return 0
    settings = load(MediaSettings, [one for one in arguments if one not in FLAGS])
    try:
        settings, file = _with_file(settings)
    except FileNotFoundError:
        print(f"Error: config file not found: {settings.icey_config}", file=sys.stderr)
        return FILE_EXIT
    report = payloads.doctor(document(settings, file), listener_of(_gateway()), version("pulsegate"))
    print(json.dumps(report, indent=2, ensure_ascii=False))
    return 0 if report["ready"] else NOT_READY_EXIT


def document(settings: MediaSettings, file: ConfigFile) -> media_pb2.MediaStatus:
    """Say of the media process what can be said before it runs."""
    facts = _found(settings, status.known(settings, file))
    return media_pb2.MediaStatus(
        mode=status.MODES[settings.mode],
        preflight=status.preflight_of(preflight.report(facts, running=False)),
        source=status.source_of(facts.origin),
        turn=status.turn_of(settings, enabled=facts.turn_enabled),
        config=status.config_of(file),
    )


def _with_file(settings: MediaSettings) -> tuple[MediaSettings, ConfigFile]:
    """Lay the file under the settings, unless it is invalid; raises ``FileNotFoundError``."""
    file = config_file.read(settings.icey_config)
    if file.error:
        return settings, file
    try:
        return file.lay_under(settings), file
    except ConfigInvalid as error:
        return settings, replace(file, error=str(error))


def _gateway() -> GatewaySettings:
    """Tell what the gateway would be told; where that is wrong, its own start says so."""
    told: Explanation = explain(GatewaySettings)
    return icey.lay_under(told.model if isinstance(told.model, GatewaySettings) else GatewaySettings())


def _found(settings: MediaSettings, facts: preflight.Facts) -> preflight.Facts:
    """Look at the source, the record directory and the TURN server as they are now."""
    origin = Origin(settings.source)
    if settings.mode == "stream" and origin.kind == "file" and not origin.remote:
        try:
            must_open(origin.value)
        except SourceMissing as error:
            facts = replace(facts, source_error=str(error), source_missing=True)
    if settings.mode == "record" and Path(settings.record_dir).exists() and not Path(settings.record_dir).is_dir():
        facts = replace(facts, record_dir_error="it is not a folder")
    if settings.turn == "false":
        return facts
    watch = turn.Watch(settings.host, settings.turn_port, lambda: turn.credentials_of(settings))
    try:
        asyncio.run(watch.check())
    except turn.TurnRefuses as error:
        return replace(facts, turn_watched=True, turn_error=str(error))
    except turn.TurnSilent as error:
        return replace(facts, turn_watched=settings.turn == "true", turn_error=str(error))
    return replace(facts, turn_enabled=True, turn_watched=True)
