"""Recordings, snapshots and clips: listed, and served as files with ranges."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from typing import Any
from urllib.parse import quote

import grpc
from flask import Blueprint, Response, jsonify, request
from werkzeug.http import http_date, is_resource_modified

from gateway.backend import Backend
from gateway.describe import describe
from gateway.errors import BackendError
from gateway.facades.media import payloads
from gateway.facades.media.ranges import Unsatisfiable, wanted
from gen.media.v1 import media_pb2 as messages

FILE = "*/*"
READ = "ReadArtifact"
CALL_SECONDS = 5.0
WINDOW_BYTES = 4 * 1024 * 1024
WINDOW_SECONDS = 120.0
"""A file travels in windows, a call each, so that a long download needs no call that long."""

Read = Callable[[messages.ReadArtifactRequest, float], Generator[Any, None, None]]


def add_routes(media: Blueprint, backend: Backend[Any]) -> None:
    """Add the routes."""

    @media.get("/api/artifacts", provide_automatic_options=False)
    @describe({200: "Artifacts", 503: "Error"})
    def artifacts() -> Response:
        """List what can be fetched, newest first."""
        return jsonify(payloads.artifacts(_listed(backend), request.script_root))

    @media.get("/artifacts/<path:artifact>", provide_automatic_options=False)
    @describe({200: FILE, 206: FILE, 304: "", 401: "", 404: "", 412: "", 416: "", 503: ""})
    def serve(artifact: str) -> Response:
        """Serve a file, or the range of it that was asked for."""
        address, facts = _find(backend, artifact)
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Disposition": f"inline; filename*=UTF-8''{quote(artifact.rpartition('/')[2])}",
            "ETag": f'"{facts.etag}"',
            "Last-Modified": http_date(facts.modified_at.ToSeconds()),
        }
        if not is_resource_modified(request.environ, facts.etag, last_modified=headers["Last-Modified"]):
            return Response(status=412 if "If-Match" in request.headers else 304, headers=headers)
        try:
            span = wanted(request.headers, facts.size_bytes, headers["ETag"], headers["Last-Modified"])
        except Unsatisfiable:
            return Response(status=416, headers={**headers, "Content-Range": f"bytes */{facts.size_bytes}"})
        start, stop = span or (0, facts.size_bytes)
        headers["Content-Length"] = str(stop - start)
        if span:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{facts.size_bytes}"
        body = _windows(partial(backend.stream_at, address, READ), artifact, start, stop)
        return Response(body, 206 if span else 200, headers, content_type=facts.media_type)


def _listed(backend: Backend[Any]) -> list[messages.Recording]:
    """List what the replicas have, each file once, newest first; raises ``BackendError`` when none of them tells."""
    answers = backend.call_each("ListRecordings", messages.ListRecordingsRequest(), CALL_SECONDS).values()
    told = [answer for answer in answers if not isinstance(answer, BackendError)]
    if not told:
        raise next(iter(answers))
    found = {one.name: one for answer in told for one in answer.recordings}
    return sorted(found.values(), key=lambda one: one.modified_at.ToNanoseconds(), reverse=True)


def _find(backend: Backend[Any], name: str) -> tuple[str, messages.ReadArtifactResponse.Info]:
    """Tell which replica has a file, and its facts; raises ``BackendError`` when none has."""
    asked = messages.ReadArtifactRequest(name=name, info_only=True)
    failure = BackendError(grpc.StatusCode.UNAVAILABLE, "no replica can be reached")
    for replica in backend.picture.replicas:
        if not replica.reachable:
            continue
        try:
            with closing(backend.stream_at(replica.address, READ, asked, CALL_SECONDS)) as answers:
                return replica.address, next(answers).info
        except BackendError as error:
            failure = error
    raise failure


def _windows(read: Read, name: str, start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes of a span; raises ``BackendError`` when there are fewer than were promised."""
    while start < stop:
        asked = messages.ReadArtifactRequest(name=name, offset=start, length=min(WINDOW_BYTES, stop - start))
        before = start
        with closing(read(asked, WINDOW_SECONDS)) as answers:
            for answer in answers:
                start += len(answer.data)
                if answer.data:
                    yield answer.data
        if start == before:
            raise BackendError(grpc.StatusCode.DATA_LOSS, "the file became shorter")
