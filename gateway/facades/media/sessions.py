"""WHIP and WHEP: who publishes or plays posts an offer, goes on by the answer, and deletes the session."""

from collections.abc import Callable
from typing import Any, NoReturn
from urllib.parse import urlsplit

import grpc
from flask import Blueprint, Response, abort, request
from werkzeug.exceptions import (
    MethodNotAllowed,
    NotAcceptable,
    PreconditionFailed,
    RequestEntityTooLarge,
    UnprocessableEntity,
    UnsupportedMediaType,
)

from gateway.backend import Backend
from gateway.describe import describe, not_described
from gateway.errors import BackendError
from gateway.facades.media import placement
from gateway.facades.media.errors import ACCEPT_PATCH, ACCEPT_POST, FRAGMENT, SDP
from gen.media.v1 import media_pb2 as messages

LARGEST_OFFER_BYTES = 64 * 1024
LARGEST_FRAGMENT_BYTES = 16 * 1024
OFFER_SECONDS = 12.0
CONFIG_SECONDS = 2.0
CANDIDATES_SECONDS = 5.0
CLOSE_SECONDS = 5.0
WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104  recognised, not bound

_ENDPOINT, _SESSION = "OPTIONS, POST", "DELETE, OPTIONS, PATCH"


def add_routes(media: Blueprint, backend: Backend[Any], *, cross_origin: bool) -> None:
    """Add the routes; with ``cross_origin`` pages of other sites may use them, by token."""
    _add_endpoints(media, backend)
    _add_sessions(media, backend)

    @not_described
    def options(_name: str = "") -> Response:
        """Tell a client what it may send."""
        of_session = request.path.startswith("/session/")
        allowed = _SESSION if of_session else _ENDPOINT
        response = Response(status=204, headers={"Allow": allowed})
        response.headers.update(ACCEPT_PATCH if of_session else ACCEPT_POST)
        if cross_origin:
            response.headers["Access-Control-Allow-Methods"] = allowed
            response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, If-Match, X-Icey-Token"
        return response

    _route(media, options, ["OPTIONS"], "/whip", "/whip/<_name>", "/whep", "/whep/<_name>", "/session/<_name>")


def _add_endpoints(media: Blueprint, backend: Backend[Any]) -> None:
    @describe(
        {201: SDP, 400: "Error", 406: "Error", 409: "Error", 413: "Error", 415: "Error", 503: "Error"},
        body=SDP,
    )
    def publish(stream: str = "") -> Response:
        """Take a publisher (RFC 9725); its session lives at ``Location`` until it is deleted or nobody is there."""
        asked = messages.PublishRequest(stream=stream, offer_sdp=_offer())
        return _begin(backend, "Publish", asked)

    @describe(
        {201: SDP, 400: "Error", 406: "Error", 409: "Error", 413: "Error", 415: "Error", 503: "Error"},
        body=SDP,
    )
    def view(stream: str = "") -> Response:
        """Take a player; the session lives at ``Location`` until it is deleted or the player is gone."""
        asked = messages.ViewRequest(stream=stream, offer_sdp=_offer())
        return _begin(backend, "View", asked)

    @not_described
    def only_offers(_stream: str = "") -> NoReturn:
        """Take nothing but offers where sessions begin."""
        raise MethodNotAllowed(_ENDPOINT.split(", "))

    _route(media, publish, ["POST"], "/whip", "/whip/<stream>")
    _route(media, view, ["POST"], "/whep", "/whep/<stream>")
    others = ["GET", "PUT", "PATCH", "DELETE"]
    _route(media, only_offers, others, "/whip", "/whip/<_stream>", "/whep", "/whep/<_stream>")


def _add_sessions(media: Blueprint, backend: Backend[Any]) -> None:
    @describe({204: "", 404: "Error", 412: "Error", 415: "Error", 422: "Error", 503: "Error"}, body=FRAGMENT)
    def trickle(session_id: str) -> Response:
        """Take more candidates (RFC 9725, section 4.3.2), or say by 422 that ICE cannot be restarted.

        A session has no entity tag, since its ICE generation never changes.
        """
        if request.if_match and not request.if_match.star_tag:
            raise PreconditionFailed
        fragment = _body(FRAGMENT, LARGEST_FRAGMENT_BYTES)
        asked = messages.AddCandidatesRequest(sdp_fragment=fragment)
        try:
            _of_session(backend, session_id, "AddCandidates", asked, CANDIDATES_SECONDS)
        except BackendError as error:
            if error.code is grpc.StatusCode.FAILED_PRECONDITION:
                raise UnprocessableEntity from None
            raise
        return Response(status=204)

    @describe({200: "", 404: "Error", 503: "Error"})
    def end(session_id: str) -> Response:
        """End a session."""
        _of_session(backend, session_id, "Close", messages.CloseRequest(), CLOSE_SECONDS)
        return Response(status=200)

    @not_described
    def nothing_else(_session_id: str) -> NoReturn:
        """Take nothing but candidates and the end."""
        raise MethodNotAllowed(_SESSION.split(", "))

    _route(media, trickle, ["PATCH"], "/session/<session_id>")
    _route(media, end, ["DELETE"], "/session/<session_id>")
    _route(media, nothing_else, ["GET", "POST", "PUT"], "/session/<_session_id>")


def _route(media: Blueprint, view: Callable[..., Response], methods: list[str], *paths: str) -> None:
    for path in paths:
        media.add_url_rule(path, view_func=view, methods=methods, provide_automatic_options=False)


def _begin(backend: Backend[Any], method: str, asked: messages.PublishRequest | messages.ViewRequest) -> Response:
    config = backend.call(backend.stub.GetConfig, messages.GetConfigRequest(), CONFIG_SECONDS)
    answer, address = _answered(backend, method, asked)
    response = Response(answer.answer_sdp, 201, content_type=SDP)
    response.autocorrect_location_header = False
    public_id = placement.public_id(answer.session_id, address)
    response.headers["Location"] = f"{request.script_root}/session/{public_id}"
    for link in ice_servers(config, request.host):
        response.headers.add("Link", link)
    return response


def _answered(
    backend: Backend[Any], method: str, asked: messages.PublishRequest | messages.ViewRequest
) -> tuple[Any, str]:
    """Ask the best replica, or the next one where that is lost just now; tell its answer and where it is."""
    lost = BackendError(grpc.StatusCode.UNAVAILABLE, "no replica serves")
    for address in placement.candidates(asked.stream, backend.picture.replicas):
        try:
            return backend.call_at(address, method, asked, OFFER_SECONDS), address
        except BackendError as error:
            if error.code is not grpc.StatusCode.UNAVAILABLE:
                raise
            lost = error
    raise lost


def _of_session(backend: Backend[Any], public_id: str, method: str, asked: Any, seconds: float) -> None:  # noqa: ANN401  either of two requests
    """Ask the replica that has the session; a session of a replica that is not known any more is gone."""
    if (found := placement.find(public_id, backend.picture.replicas)) is None:
        abort(404)
    address, asked.session_id = found
    backend.call_at(address, method, asked, seconds)


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
    text = _body(SDP, LARGEST_OFFER_BYTES)
    if request.accept_mimetypes and not request.accept_mimetypes[SDP]:
        raise NotAcceptable
    return text


def _body(media_type: str, largest_bytes: int) -> str:
    if request.mimetype != media_type:
        raise UnsupportedMediaType
    if (request.content_length or 0) > largest_bytes:
        raise RequestEntityTooLarge
    body = request.get_data()
    if len(body) > largest_bytes:
        raise RequestEntityTooLarge
    try:
        return body.decode()
    except UnicodeDecodeError:
        abort(400)
