"""Recordings, snapshots and clips: listed, and served as files with ranges."""

from collections.abc import Iterator
from contextlib import closing
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
CALL_SECONDS = 5.0
WINDOW_BYTES = 4 * 1024 * 1024
WINDOW_SECONDS = 120.0
"""A file travels in windows, a call each, so that a long download needs no call that long."""


def add_routes(media: Blueprint, backend: Backend[Any]) -> None:
    """Add the routes."""

    @media.get("/api/artifacts", provide_automatic_options=False)
    @describe({200: "Artifacts", 503: "Error"})
    def artifacts() -> Response:
        """List what can be fetched, newest first."""
        answer = backend.call(backend.stub.ListRecordings, messages.ListRecordingsRequest(), CALL_SECONDS)
        return jsonify(payloads.artifacts(answer.recordings, request.script_root))

    @media.get("/artifacts/<path:artifact>", provide_automatic_options=False)
    @describe({200: FILE, 206: FILE, 304: "", 401: "", 404: "", 412: "", 416: "", 503: ""})
    def serve(artifact: str) -> Response:
        """Serve a file, or the range of it that was asked for."""
        facts = _facts(backend, artifact)
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
        body = _windows(backend, artifact, start, stop)
        return Response(body, 206 if span else 200, headers, content_type=facts.media_type)


def _facts(backend: Backend[Any], name: str) -> messages.ReadArtifactResponse.Info:
    asked = messages.ReadArtifactRequest(name=name, info_only=True)
    with closing(backend.stream(backend.stub.ReadArtifact, asked, CALL_SECONDS)) as answers:
        return next(answers).info  # type: ignore[no-any-return]  # what the contract says comes first


def _windows(backend: Backend[Any], name: str, start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes of a span; raises ``BackendError`` when there are fewer than were promised."""
    while start < stop:
        asked = messages.ReadArtifactRequest(name=name, offset=start, length=min(WINDOW_BYTES, stop - start))
        before = start
        with closing(backend.stream(backend.stub.ReadArtifact, asked, WINDOW_SECONDS)) as answers:
            for answer in answers:
                start += len(answer.data)
                if answer.data:
                    yield answer.data
        if start == before:
            raise BackendError(grpc.StatusCode.DATA_LOSS, "the file became shorter")
