"""The page that shows the LLM proxy at work, and the events it draws."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from flask import Blueprint, Response

from gateway import pages
from gateway.backend import Backend
from gateway.describe import describe, not_described
from gateway.facades.llmproxy.board import board_document
from gateway.settings import GatewaySettings

FOLDER = Path(__file__).parent / "page"
OWN = ("page.css", "page.js", "chart.js", "try.js")
SHARED = ("console.css", "dom.js", "parts.js", "theme.js", "icon.svg")
RETRY_MILLISECONDS = 1000  # until a page asks again after the gateway went away
# Between two events: a page notices a gateway that went silent, and much traffic costs little.
LONGEST_SILENCE_SECONDS, SHORTEST_SILENCE_SECONDS = 2.0, 0.5


def add_routes(blueprint: Blueprint, backend: Backend[Any], settings: GatewaySettings) -> None:
    """Add the page with its files and events."""
    blueprint.add_url_rule("/ui", "ui", pages.view_of(FOLDER / "index.html"))
    for file in (*(FOLDER / name for name in OWN), *(pages.FOLDER / name for name in SHARED)):
        blueprint.add_url_rule(f"/ui/{file.name}", f"ui_{file.name.replace('.', '_')}", pages.view_of(file))

    @blueprint.get("/ui/")
    @not_described
    def ui_with_a_slash() -> Response:
        """Send the browser to where the page's own addresses fit."""
        return Response(status=308, headers={"Location": "../ui"})

    @blueprint.get("/ui/events")
    @describe({200: "text/event-stream", 401: "Error"})
    def ui_events() -> Response:
        """Stream what the page shows as server-sent events, at once, on every change, and after some silence."""

        def documents() -> Iterator[bytes]:
            yield b"retry: %d\n\n" % RETRY_MILLISECONDS
            for picture in backend.pictures(LONGEST_SILENCE_SECONDS, SHORTEST_SILENCE_SECONDS):
                yield b"event: board\ndata: %s\n\n" % orjson.dumps(board_document(picture, settings))

        return Response(
            documents(), content_type="text/event-stream; charset=utf-8", headers={"Cache-Control": "no-cache"}
        )
