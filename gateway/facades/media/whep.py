"""WHEP: a player posts its offer, plays by the answer, deletes the session."""

from typing import Any, NoReturn
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, request
from werkzeug.exceptions import MethodNotAllowed, NotAcceptable, RequestEntityTooLarge, UnsupportedMediaType

from gateway.backend import Backend
from gateway.facades.media.errors import SDP
from gen.media.v1 import media_pb2 as messages

LARGEST_OFFER_BYTES = 64 * 1024
OFFER_SECONDS = 12.0
CONFIG_SECONDS = 2.0
CLOSE_SECONDS = 5.0
WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104  recognised, not bound


def add_routes(media: Blueprint, backend: Backend[Any], *, cross_origin: bool) -> None:
    """Add the routes; with ``cross_origin`` pages of other sites may use them, by token."""

    @media.route("/whep", methods=["OPTIONS"], provide_automatic_options=False)
    @media.route("/whep/<_name>", methods=["OPTIONS"], provide_automatic_options=False)
    @media.route("/session/<_name>", methods=["OPTIONS"], provide_automatic_options=False)
    def options(_name: str = "") -> Response:
        """Tell a player what it may send."""
        allowed = "DELETE, OPTIONS" if request.path.startswith("/session/") else "OPTIONS, POST"
        response = Response(status=204, headers={"Allow": allowed, "Accept-Post": SDP})
        if cross_origin:
            response.headers["Access-Control-Allow-Methods"] = allowed
            response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, X-Icey-Token"
        return response

    @media.post("/whep", provide_automatic_options=False)
    @media.post("/whep/<stream>", provide_automatic_options=False)
    def view(stream: str = "") -> Response:
        """Answer an offer; the session lives at ``Location`` until it is deleted or the player is gone."""
        asked = messages.ViewRequest(stream=stream, offer_sdp=_offer())
        config = backend.call(backend.stub.GetConfig, messages.GetConfigRequest(), CONFIG_SECONDS)
        answer = backend.call(backend.stub.View, asked, OFFER_SECONDS)
        response = Response(answer.answer_sdp, 201, content_type=SDP)
        response.autocorrect_location_header = False
        response.headers["Location"] = f"{request.script_root}/session/{answer.session_id}"
        for link in ice_servers(config, request.host):
            response.headers.add("Link", link)
        return response

    @media.delete("/session/<session_id>", provide_automatic_options=False)
    def end(session_id: str) -> Response:
        """End a session."""
        backend.call(backend.stub.Close, messages.CloseRequest(session_id=session_id), CLOSE_SECONDS)
        return Response(status=200)

    @media.route("/whep", methods=["GET", "PUT", "PATCH", "DELETE"], provide_automatic_options=False)
    @media.route("/whep/<_stream>", methods=["GET", "PUT", "PATCH", "DELETE"], provide_automatic_options=False)
    def only_offers(_stream: str = "") -> NoReturn:
        """Take nothing but offers where sessions begin."""
        raise MethodNotAllowed(["OPTIONS", "POST"])

    @media.route("/session/<_session_id>", methods=["GET", "POST", "PUT", "PATCH"], provide_automatic_options=False)
    def only_the_end(_session_id: str) -> NoReturn:
        """Refuse trickled candidates and restarts: the answer had every candidate of this server in it."""
        raise MethodNotAllowed(["DELETE", "OPTIONS"])


def ice_servers(config: messages.GetConfigResponse, asked_host: str) -> list[str]:
    """Tell the STUN and TURN servers as the Link headers of RFC 9725, section 4.6."""
    links = [f'<{url}>; rel="ice-server"' for url in config.stun_urls]
    if not config.turn.enabled:
        return links
    own = urlsplit(f"//{asked_host}").hostname or ""
    host = own if config.turn.host in WILDCARDS else config.turn.host
    address = f"[{host}]:{config.turn.port}" if ":" in host else f"{host}:{config.turn.port}"
    login = f'username="{config.turn_username}"; credential="{config.turn_credential}"; credential-type="password"'
    return [
        *links,
        *(f'<turn:{address}?transport={transport}>; rel="ice-server"; {login}' for transport in ("udp", "tcp")),
    ]


def _offer() -> str:
    if request.mimetype != SDP:
        raise UnsupportedMediaType
    if request.accept_mimetypes and not request.accept_mimetypes[SDP]:
        raise NotAcceptable
    if (request.content_length or 0) > LARGEST_OFFER_BYTES:
        raise RequestEntityTooLarge
    body = request.get_data()
    if len(body) > LARGEST_OFFER_BYTES:
        raise RequestEntityTooLarge
    try:
        return body.decode()
    except UnicodeDecodeError:
        abort(400)
