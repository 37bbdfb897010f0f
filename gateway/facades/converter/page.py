"""The page of the converter and what its status light follows."""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from flask import Blueprint, Response, abort, send_from_directory

from gateway.backend import Backend
from gateway.describe import describe, not_described

FOLDER = Path(__file__).parent / "page"
TYPES: Final = {"index.html": "text/html", "app.js": "text/javascript", "style.css": "text/css"}
POLICY = "default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"


def add_routes(converter: Blueprint, backend: Backend[Any]) -> None:
    """Add the page with its files and events.

    Every other GET is 404, also where only another method is at home, as documented.
    """

    @converter.get("/")
    @converter.get("/<path:name>")
    @not_described
    def page(name: str = "index.html") -> Response:
        """Serve one of the page's files."""
        if name not in TYPES:
            abort(404)
        response = send_from_directory(FOLDER, name, mimetype=TYPES[name])
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    @converter.get("/api/v1/events")
    @describe({200: "text/event-stream"})
    def events() -> Response:
        """Stream ``connected`` as server-sent events, at once and whenever it changes."""

        def told() -> Iterator[str]:
            yield "retry: 1000\n\n"
            for connected, _ in groupby(picture.serving() for picture in backend.pictures()):
                yield f"data: {json.dumps({'connected': connected})}\n\n"

        return Response(told(), content_type="text/event-stream; charset=utf-8", headers={"Cache-Control": "no-cache"})
