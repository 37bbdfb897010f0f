"""gRPC edge of the peers and of the status document."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc

from gen.media.v1 import media_pb2, media_pb2_grpc
from runtime.status import StatusFeed
from services.media import reading, turn
from services.media.artifacts import Artifact, Artifacts, OutsideFolder, UnknownArtifact
from services.media.events import Event, Events
from services.media.fragment import UnusableFragment
from services.media.offer import NoCommonCodec, UnusableOffer
from services.media.peer import Peer, RestartUnsupported, SetUpTimeout, State
from services.media.peers import Full, Peers, UnknownPeer
from services.media.settings import MediaSettings
from services.media.signalling import NotOpened, Signalling
from services.media.status import ID_PREFIX, StatusBook
from services.media.streams import UnknownStream, WrongMode

Context = grpc.aio.ServicerContext[Any, Any]

_CODES = {
    UnusableFragment: grpc.StatusCode.INVALID_ARGUMENT,
    RestartUnsupported: grpc.StatusCode.FAILED_PRECONDITION,
    UnusableOffer: grpc.StatusCode.INVALID_ARGUMENT,
    NoCommonCodec: grpc.StatusCode.UNIMPLEMENTED,
    WrongMode: grpc.StatusCode.FAILED_PRECONDITION,
    UnknownStream: grpc.StatusCode.NOT_FOUND,
    UnknownPeer: grpc.StatusCode.NOT_FOUND,
    Full: grpc.StatusCode.RESOURCE_EXHAUSTED,
    SetUpTimeout: grpc.StatusCode.ABORTED,
    UnknownArtifact: grpc.StatusCode.NOT_FOUND,
    OutsideFolder: grpc.StatusCode.PERMISSION_DENIED,
    reading.BeyondEnd: grpc.StatusCode.OUT_OF_RANGE,
}
_STATES = {
    State.CONNECTING: media_pb2.Session.STATE_CONNECTING,
    State.ACTIVE: media_pb2.Session.STATE_ACTIVE,
    State.ENDING: media_pb2.Session.STATE_ENDING,
    State.ENDED: media_pb2.Session.STATE_ENDING,
}


@dataclass(frozen=True)
class Served:
    """What the service answers from."""

    peers: Peers
    book: StatusBook
    feed: StatusFeed[media_pb2.MediaStatus]
    artifacts: Artifacts
    signalling: Signalling
    events: Events


class MediaServicer(media_pb2_grpc.MediaServiceServicer):
    """Answers for the media process."""

    def __init__(self, settings: MediaSettings, served: Served) -> None:
        self._settings = settings
        self._peers = served.peers
        self._book = served.book
        self._feed = served.feed
        self._artifacts = served.artifacts
        self._signalling = served.signalling
        self._events = served.events

    async def Publish(self, request: media_pb2.PublishRequest, context: Context) -> media_pb2.PublishResponse:
        """Answer a publisher's offer."""
        try:
            peer, answer = await self._peers.publish(request.stream or self._settings.stream, request.offer_sdp)
        except tuple(_CODES) as error:
            await context.abort(_CODES[type(error)], str(error))
        return media_pb2.PublishResponse(session_id=peer.id, answer_sdp=answer)

    async def View(self, request: media_pb2.ViewRequest, context: Context) -> media_pb2.ViewResponse:
        """Answer a viewer's offer."""
        try:
            peer, answer = await self._peers.view(request.stream or self._settings.stream, request.offer_sdp)
        except tuple(_CODES) as error:
            await context.abort(_CODES[type(error)], str(error))
        return media_pb2.ViewResponse(session_id=peer.id, answer_sdp=answer)

    async def AddCandidates(
        self, request: media_pb2.AddCandidatesRequest, context: Context
    ) -> media_pb2.AddCandidatesResponse:
        """Give a session more candidates; ours were all in the answer, so there is nothing to say."""
        try:
            await self._peers.add_fragment(request.session_id, request.sdp_fragment)
        except tuple(_CODES) as error:
            await context.abort(_CODES[type(error)], str(error))
        return media_pb2.AddCandidatesResponse()

    async def Close(self, request: media_pb2.CloseRequest, context: Context) -> media_pb2.CloseResponse:
        """End a session."""
        try:
            await self._peers.close(request.session_id)
        except UnknownPeer as error:
            await context.abort(_CODES[type(error)], str(error))
        return media_pb2.CloseResponse()

    async def Signal(  # type: ignore[override]  # writes by itself, so that its end is certain whoever leaves
        self, request_iterator: AsyncIterator[media_pb2.SignalRequest], context: Context
    ) -> None:
        """Carry one signalling socket."""
        try:
            await self._signalling.serve(request_iterator, context.write)
        except NotOpened:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the first message must be `open`")

    async def ListSessions(
        self,
        request: media_pb2.ListSessionsRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> media_pb2.ListSessionsResponse:
        """List the sessions, oldest first."""
        return media_pb2.ListSessionsResponse(sessions=[_session(peer) for peer in self._peers.listed()])

    async def ListRecordings(
        self,
        request: media_pb2.ListRecordingsRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> media_pb2.ListRecordingsResponse:
        """List recordings, snapshots and clips, newest first."""
        listed = await asyncio.to_thread(self._artifacts.listed)
        return media_pb2.ListRecordingsResponse(recordings=[_recording(artifact) for artifact in listed])

    async def ReadArtifact(
        self, request: media_pb2.ReadArtifactRequest, context: Context
    ) -> AsyncIterator[media_pb2.ReadArtifactResponse]:
        """Tell the facts of a file, then its bytes."""
        pieces = reading.read(
            self._artifacts, request.name, request.offset, request.length, info_only=request.info_only
        )
        try:
            async for piece in pieces:
                if isinstance(piece, Artifact):
                    yield media_pb2.ReadArtifactResponse(info=_info(piece))
                else:
                    yield media_pb2.ReadArtifactResponse(data=piece)
        except (UnknownArtifact, OutsideFolder, reading.BeyondEnd) as error:
            await context.abort(_CODES[type(error)], str(error))

    async def WatchEvents(
        self,
        request: media_pb2.WatchEventsRequest,
        context: Context,
    ) -> AsyncIterator[media_pb2.WatchEventsResponse]:
        """Tell what happens from the moment on at which the caller has the initial metadata."""
        wanted = frozenset(request.types)
        happening = self._events.watch()
        await context.send_initial_metadata(())
        async for event in happening:
            if not wanted or event.type in wanted:
                yield _event(event)

    async def GetReadiness(
        self,
        request: media_pb2.GetReadinessRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> media_pb2.GetReadinessResponse:
        """Tell the preflight report."""
        return media_pb2.GetReadinessResponse(preflight=self._book.readiness())

    async def GetConfig(
        self,
        request: media_pb2.GetConfigRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> media_pb2.GetConfigResponse:
        """Tell what a browser needs to call, with credentials minted now."""
        settings = self._settings
        credentials = turn.credentials_of(settings)
        return media_pb2.GetConfigResponse(
            turn=self._book.turn(),
            turn_username=credentials.username,
            turn_credential=credentials.credential,
            turn_ttl_seconds=credentials.ttl_seconds,
            stun_urls=settings.stun_urls,
        )

    async def GetStatus(
        self,
        request: media_pb2.GetStatusRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> media_pb2.GetStatusResponse:
        """Tell the status document once."""
        return media_pb2.GetStatusResponse(status=self._feed.build())

    async def WatchStatus(
        self,
        request: media_pb2.WatchStatusRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> AsyncIterator[media_pb2.WatchStatusResponse]:
        """Tell the status document at once and on every change."""
        async for document in self._feed.watch():
            yield media_pb2.WatchStatusResponse(status=document)


def _session(peer: Peer) -> media_pb2.Session:
    session = media_pb2.Session(
        id_prefix=peer.id[:ID_PREFIX],
        stream=peer.stream,
        direction=media_pb2.Session.DIRECTION_PUBLISH if peer.media.publishes else media_pb2.Session.DIRECTION_VIEW,
        state=_STATES[peer.state],
    )
    session.started_at.FromDatetime(peer.started_at)
    return session


def _recording(artifact: Artifact) -> media_pb2.Recording:
    recording = media_pb2.Recording(name=artifact.name, size_bytes=artifact.size_bytes, active=artifact.active)
    recording.modified_at.FromDatetime(artifact.modified_at)
    return recording


def _info(artifact: Artifact) -> media_pb2.ReadArtifactResponse.Info:
    info = media_pb2.ReadArtifactResponse.Info(
        size_bytes=artifact.size_bytes, media_type=artifact.media_type, etag=artifact.etag
    )
    info.modified_at.FromDatetime(artifact.modified_at)
    return info


def _event(event: Event) -> media_pb2.WatchEventsResponse:
    response = media_pb2.WatchEventsResponse(type=event.type, session_id_prefix=event.session[:ID_PREFIX])
    response.time.FromNanoseconds(int(event.at * 1e9))
    response.data.update(event.data)
    return response
