"""python -m services.media: read settings, put the parts together, serve."""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import uvloop

from gen.media.v1 import media_pb2, media_pb2_grpc
from runtime.health import Health, Probe
from runtime.server import BIND_EXIT as PREFLIGHT_EXIT
from runtime.server import serve
from runtime.settings import FILE_EXIT, load
from runtime.status import StatusFeed
from services.media import compat, config_file, metrics, turn, ways
from services.media.artifacts import Artifacts
from services.media.calls import CAPABILITIES, Calls, Terms
from services.media.config_file import ConfigFile, ConfigInvalid
from services.media.detection import settings as detection_settings
from services.media.detection.detection import Detection
from services.media.detection.source import WatchedSource
from services.media.detection.voice import best_rule
from services.media.events import Events
from services.media.load import Load, processors
from services.media.news import News
from services.media.origin import Origin
from services.media.peers import Full, Limits, Peers, UnknownPeer
from services.media.recording.folder import NoRoom, RecordFolder
from services.media.recording.recorder import Publisher
from services.media.recording.recordings import Recordings
from services.media.servicer import MediaServicer, Served
from services.media.settings import MediaSettings
from services.media.signalling import Signalling
from services.media.sources import OLDEST_LIVE_SECONDS, Encoding, SourceLost, SourceMissing, must_open
from services.media.status import RECORD_DIR, SOURCE, TURN, Activity, StatusBook
from services.media.stream import Stream
from services.media.streams import Streams
from services.media.symple.exchange import Exchange
from services.media.symple.message import Fields
from services.media.symple.rooms import SERVER_USER, Member

SERVICE = media_pb2.DESCRIPTOR.services_by_name["MediaService"].full_name

log = logging.getLogger("services.media")


@dataclass(frozen=True)
class Parts:
    """What the media process is made of, running."""

    load: Load
    streams: Streams
    recordings: Recordings
    peers: Peers
    health: Health
    book: StatusBook
    feed: StatusFeed[media_pb2.MediaStatus]
    events: Events
    detection: Detection
    servicer: MediaServicer
    signalling: Signalling
    calls: Calls

    def register(self, server: grpc.aio.Server) -> str:
        """Add the service to a gRPC server."""
        media_pb2_grpc.add_MediaServiceServicer_to_server(self.servicer, server)
        return SERVICE

    def drain(self) -> None:
        """Say that the process is ending."""
        self.book.drain()
        self.feed.changed()

    def stop(self) -> None:
        """End what would go on for ever."""
        self.signalling.close()
        self.events.close()
        self.feed.close()


async def run(settings: MediaSettings, file: ConfigFile) -> None:
    """Run the media process until it is told to stop."""
    for library in ("aioice", "aiortc"):
        logging.getLogger(library).setLevel(logging.WARNING)  # they tell every candidate pair at INFO
    async with AsyncExitStack() as stack:
        parts = await assemble(settings, stack, file)
        metrics.export(
            Activity(parts.load, parts.peers, parts.streams, parts.recordings, parts.detection, parts.signalling)
        )
        await serve(settings, parts.health, parts.register, on_drain=parts.drain, on_stop=parts.stop)


async def assemble(settings: MediaSettings, stack: AsyncExitStack, file: ConfigFile) -> Parts:
    """Put the parts together and start them; the stack ends them in reverse order."""
    compat.offer_addresses(settings.candidate_addresses)
    fed = _fed_streams(settings)
    for name, stream in fed.items():
        await start(stack, stream.run(), f"stream {name}")
    streams = Streams(settings.mode, fed)
    stack.push_async_callback(streams.close)

    def on_change() -> None:
        feed.changed()

    streams.on_publisher.append(lambda _publisher: on_change())

    async def hang_up(publisher: Publisher) -> None:
        with suppress(UnknownPeer):
            await peers.close(publisher.publisher)

    events = Events()
    news = News(events)

    def on_recording(change: str, name: str) -> None:
        news.recording(change, name)
        on_change()

    recordings = Recordings(_record_folder(settings), on_recording, hang_up)
    stack.push_async_callback(recordings.close)
    health = Health(SERVICE, _probes(settings, fed, streams, recordings))
    if settings.mode == "record":
        streams.may_publish.append(lambda: _must_serve(health, RECORD_DIR))
        streams.on_publisher.append(recordings.record)
        await start(stack, recordings.keep_house(), "housekeeping of recordings")
    detection = Detection(detection_settings.of(settings), events, on_change)
    stack.push_async_callback(detection.close)
    if detection.enabled:
        streams.on_publisher.append(detection.watch)
        for name, stream in fed.items():
            detection.watch(WatchedSource(name, Origin(settings.source).shown, stream.hub))
        await start(stack, detection.keep_up(), "detection")
    if settings.turn == "auto":
        await start(stack, _look_for_turn(settings, health), "look-out for TURN")
    load = Load(settings.max_load, processors())
    peers = Peers(
        streams,
        await ways.choose(settings.fan_out, _encoding(settings), settings.publish_bitrate),
        Limits(settings.max_viewers, load, settings.setup_seconds, settings.silence_seconds),
        on_change,
    )
    peers.on_state.append(news.session)
    await start(stack, peers.watch(), "peers")
    stack.push_async_callback(peers.close_all)

    def source_error() -> str:
        return book.source_error()

    signalling, calls = _signalling(settings, peers, source_error, on_change)
    stack.push_async_callback(calls.close)
    stack.callback(events.listen(calls.show))
    book = StatusBook(settings, file, health, Activity(load, peers, streams, recordings, detection, signalling))
    feed = StatusFeed(book.build)
    await start(stack, load.watch(on_change), "load")
    health.on_change(feed.changed)
    health.on_change(lambda: news.health(health))
    served = Served(peers, book, feed, _artifacts(settings, detection), signalling, events)
    servicer = MediaServicer(settings, served)
    return Parts(load, streams, recordings, peers, health, book, feed, events, detection, servicer, signalling, calls)


def _signalling(
    settings: MediaSettings, peers: Peers, source_error: Callable[[], str], on_change: Callable[[], None]
) -> tuple[Signalling, Calls]:
    """Put the server's own peer among the signalling clients and let it answer their calls."""

    def say(address: str, fields: Fields) -> None:
        exchange.say(address, fields)

    calls = Calls(peers, Terms(settings.mode, settings.stream, source_error, settings.setup_seconds), say)
    facts = {
        "name": settings.peer_name,
        "type": "server",
        "mode": settings.mode,
        "capabilities": CAPABILITIES[settings.mode],
    }
    exchange = Exchange(Member(SERVER_USER, settings.peer_id, facts, calls.deliver))
    return Signalling(exchange, calls.end, on_change), calls


def _fed_streams(settings: MediaSettings) -> dict[str, Stream]:
    origin = Origin(settings.source)
    if settings.mode != "stream" or origin.kind == "none":
        return {}
    return {settings.stream: Stream(origin, _encoding(settings), loop_file=settings.loop)}


def _encoding(settings: MediaSettings) -> Encoding:
    return Encoding(
        settings.video_width,
        settings.video_height,
        settings.video_fps,
        settings.video_bitrate,
        settings.audio_bitrate,
        settings.passthrough_video,
    )


def _record_folder(settings: MediaSettings) -> RecordFolder:
    return RecordFolder(Path(settings.record_dir), detection_settings.keep(settings))


def _artifacts(settings: MediaSettings, detection: Detection) -> Artifacts:
    kept = detection.settings
    return Artifacts(
        {"": Path(settings.record_dir), "snapshots": Path(kept.snapshots_dir), "clips": Path(kept.clips_dir)}
    )


def _probes(settings: MediaSettings, fed: dict[str, Stream], streams: Streams, recordings: Recordings) -> list[Probe]:
    probes = []
    if settings.mode == "record":
        probes.append(Probe(RECORD_DIR, recordings.check, interval_seconds=0.5))
    if settings.mode == "stream":
        checks = [stream.source.check for stream in fed.values()] or [_no_source]
        probes += [Probe(SOURCE, check, timeout_seconds=5.0) for check in checks]
    if settings.mode == "relay":
        probes.append(Probe(SOURCE, partial(_check_fed, streams), required=False))  # who publishes must get in
    if settings.turn == "true":
        probes.append(_turn_probe(settings))
    return probes


def _turn_probe(settings: MediaSettings) -> Probe:
    watch = turn.Watch(settings.host, settings.turn_port, partial(turn.credentials_of, settings))
    return Probe(TURN, watch.check, timeout_seconds=3.0, required=False)


async def _look_for_turn(settings: MediaSettings, health: Health) -> None:
    """Make a TURN server a part of health once one answers: where none was asked for, none is missing."""
    while True:
        try:
            await turn.ask(settings.host, settings.turn_port)
        except turn.TurnSilent:
            await asyncio.sleep(settings.turn_look_seconds)
        else:
            await health.add(_turn_probe(settings))
            return


async def _check_fed(streams: Streams) -> None:
    """Raise ``SourceLost`` while viewers wait for a publisher in vain."""
    if names := streams.starving(OLDEST_LIVE_SECONDS):
        raise SourceLost(f"viewers wait for a publisher of {', '.join(names[:3])}")


def _must_serve(health: Health, component: str) -> None:
    if not health.serving(component):
        raise Full(f"no session can be taken while {component} does not serve")


async def _no_source() -> None:
    raise LookupError("stream mode requires --source or media.source")


async def start(stack: AsyncExitStack, work: Coroutine[object, object, None], name: str) -> None:
    """Run something in the background until the stack unwinds."""
    task = asyncio.create_task(work, name=name)

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)


def configure(arguments: list[str]) -> tuple[MediaSettings, ConfigFile]:
    """Read flags, environment and both files; exits with a clear text and the documented code where they are wrong."""
    settings = load(MediaSettings, arguments)
    try:
        file = config_file.read(settings.icey_config)
        if file.error:
            raise ConfigInvalid(file.error)
        settings = file.lay_under(settings)
    except FileNotFoundError:
        raise _exit(FILE_EXIT, f"config file not found: {settings.icey_config}") from None
    except ConfigInvalid as error:
        raise _exit(FILE_EXIT, f"Invalid config file {file.path}: {error}") from None
    for warning in file.warnings:
        print(f"Warning: {warning}", file=sys.stderr)  # noqa: T201  for a person at a terminal
    if failure := _cannot_start(settings):
        raise _exit(PREFLIGHT_EXIT, f"icey-server preflight failed\n  - {failure}")
    return settings, file


def _cannot_start(settings: MediaSettings) -> str:
    """Tell the check that fails and why; empty when the process can do what it is asked to."""
    if settings.speech_enabled:
        try:
            best_rule(settings.speech_detector, detection_settings.of(settings).voice)
        except ImportError as error:
            return f"detection: {error}"
    if settings.mode == "record":
        try:
            _record_folder(settings).make()
        except NoRoom as error:
            return f"record_dir: {error}"
    if settings.mode != "stream":
        return ""
    origin = Origin(settings.source)
    if origin.kind == "none":
        return "source: stream mode requires --source or media.source"
    if origin.kind == "file" and not origin.remote:
        try:
            must_open(origin.value)
        except SourceMissing as error:
            return f"source: {error}"
    return ""


def _exit(code: int, text: str) -> SystemExit:
    print(f"Error: {text}", file=sys.stderr)  # noqa: T201  for a person at a terminal
    return SystemExit(code)


if __name__ == "__main__":
    uvloop.run(run(*configure(sys.argv[1:])))
