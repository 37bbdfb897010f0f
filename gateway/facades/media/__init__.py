"""icey-server, as its documentation and the clients it has fix it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, abort, request, send_from_directory

from gateway.backend import Backend
from gateway.describe import not_described
from gateway.facade import Facade
from gateway.facades.media import access, artifacts, reports, sessions
from gateway.facades.media.errors import error_response
from gateway.facades.media.payloads import Listener
from gateway.facades.media.signalling import Signalling
from gateway.settings import GatewaySettings
from gen.media.v1 import media_pb2 as messages
from gen.media.v1 import media_pb2_grpc as rpc

BUNDLED_PAGE = Path(__file__).parent / "page"
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'self'"
)


def create_blueprint(backend: Backend[Any], settings: GatewaySettings) -> Blueprint:
    """Make the documented routes, WHIP and WHEP, and the page."""
    media = Blueprint("media", __name__)
    token = settings.media_token.get_secret_value().encode()
    root = _root(settings)

    def listener() -> Listener:
        here = listener_of(settings)
        return replace(here, port=here.port or int(request.environ["SERVER_PORT"]), sockets=backend.sockets)

    access.guard(media, token)
    reports.add_routes(media, backend, listener)
    sessions.add_routes(media, backend, cross_origin=bool(token))
    artifacts.add_routes(media, backend)

    @media.get("/")
    @media.get("/<path:name>")
    @not_described
    def page(name: str = "index.html") -> Response:
        """Serve a file of the web root."""
        if ".." in name:
            abort(403)
        response = send_from_directory(root, name)
        if root is BUNDLED_PAGE:
            response.headers["Content-Security-Policy"] = PAGE_POLICY
            response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return media


def listener_of(settings: GatewaySettings) -> Listener:
    """Describe the listener as the settings have it."""
    host, port = settings.listener("media")
    files = settings.tls("media")
    return Listener(
        host,
        port,
        settings.media_web_root or str(BUNDLED_PAGE),
        has_page=(_root(settings) / "index.html").is_file(),
        certificate=str(files.certificate) if files else "",
    )


def _root(settings: GatewaySettings) -> Path:
    return Path(settings.media_web_root).absolute() if settings.media_web_root else BUNDLED_PAGE


def facts(status: messages.MediaStatus) -> dict[str, str]:
    """Tell an operator what the server does and for how many."""
    mode = messages.Mode.Name(status.mode).removeprefix("MODE_").lower()
    return {"mode": mode, "sessions": f"{status.sessions.active} now, {status.sessions.total} so far"}


FACADE = Facade(
    name="media",
    service="media.v1.MediaService",
    stub=rpc.MediaServiceStub,
    watch_status=lambda channel: rpc.MediaServiceStub(channel).WatchStatus(messages.WatchStatusRequest()),
    components=("media.source",),
    create_blueprint=create_blueprint,
    error_response=error_response,
    snapshot_paths=frozenset({"/api/health", "/api/ready", "/api/status"}),
    snapshot_headers=access.HEADERS,
    facts=facts,
    create_sockets=Signalling,
)
