"""How the media server tells an error: as JSON to API and signalling, with an empty body elsewhere."""

import grpc
from flask import Response, jsonify, request

from gateway.errors import BackendError
from gateway.facades.media import payloads
from gateway.facades.media.access import signalling

SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"
ACCEPT_POST, ACCEPT_PATCH = {"Accept-Post": SDP}, {"Accept-Patch": FRAGMENT}

_WORDS = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "timeout",
    409: "conflict",
    412: "precondition_failed",
    413: "too_large",
    415: "unsupported_media_type",
    422: "restart_unsupported",
    429: "too_many_requests",
    431: "headers_too_large",
    500: "internal",
    501: "not_implemented",
    503: "unavailable",
    504: "timeout",
}

# What a refused offer means to a player, where that differs from what the code means elsewhere.
_OFFER_STATUS = {
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.UNIMPLEMENTED: 406,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 503,
    grpc.StatusCode.ABORTED: 503,
    grpc.StatusCode.CANCELLED: 503,
}


def error_response(status: int, error: Exception) -> Response:
    """Tell an error; 404, 405 and the like of the page have no body, as documented."""
    of_session = signalling(request.path)
    if not (request.path.startswith("/api/") or of_session):
        return Response(status=status)
    if of_session and isinstance(error, BackendError):
        status = _OFFER_STATUS.get(error.code, status)
    response = jsonify(payloads.error(_WORDS.get(status, "error")))
    response.status_code = status
    if of_session:
        response.headers.update(_HINTS.get(status, {}))
    if of_session and status == 415:
        response.headers.update(ACCEPT_PATCH if request.path.startswith("/session/") else ACCEPT_POST)
    return response


_HINTS: dict[int, dict[str, str]] = {
    401: {"WWW-Authenticate": "Bearer"},
    503: {"Retry-After": "2"},
}
