"""What the LLM proxy's clients are told when something fails, in the envelope their route documents."""

import uuid
from http import HTTPStatus

import orjson
from flask import Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from gateway.errors import BackendError
from gateway.facades.llmproxy.access import asks_browser, credentials
from runtime import logs

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    431: "invalid_request_error",
    503: "overloaded_error",
    504: "timeout_error",
}

OWN_WORDS = frozenset({400, 404, 409})
"""Statuses whose gRPC details were written for the client."""


class TooLarge(RequestEntityTooLarge):
    """A body above the limit, which the answer tells."""

    def __init__(self, limit: int) -> None:
        super().__init__("Request body too large")
        self.limit = limit


def error_response(status: int, error: Exception) -> Response:
    """Tell an error in the envelope of its route: Anthropic's, or the exact documented one."""
    if request.path == "/status" and status in (401, 503):
        return status_error(status)
    kind = ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    envelope: dict[str, object] = {"type": kind, "message": words(status, error)}
    if status == 401:
        envelope["code"] = "invalid_api_key" if credentials() else "missing_api_key"
    if status == 429:
        envelope["code"] = "rate_limit_exceeded"
    if request.path.startswith("/providers"):
        return json_response({"error": envelope}, status)
    document: dict[str, object] = {"type": "error", "error": envelope, "request_id": request_id()}
    if isinstance(error, TooLarge):
        document["limit"] = error.limit
    response = json_response(document, status)
    if status == 401 and asks_browser():
        response.headers["WWW-Authenticate"] = (
            'Basic realm="Pulsegate: any name, and the key as password", charset="UTF-8"'
        )
    if status == 503:
        response.headers["Retry-After"] = "1"
    return response


def words(status: int, error: Exception) -> str:
    """Say what failed without saying anything internal."""
    if isinstance(error, BackendError):
        if status in OWN_WORDS and error.details:
            return error.details
        return "Service temporarily unavailable" if status == 503 else HTTPStatus(status).phrase
    if isinstance(error, HTTPException) and error.description:
        return error.description
    return HTTPStatus(status).phrase


def status_error(status: int) -> Response:
    """Answer with the exact bodies documented for `/status`."""
    error = {
        401: {"type": "authentication_error", "message": "Invalid or missing API key"},
        503: {"type": "service_error", "message": "Service temporarily unavailable"},
    }[status]
    return json_response({"error": error}, status)


def json_response(document: object, status: int = 200) -> Response:
    """Answer with a document."""
    return Response(orjson.dumps(document), status, content_type="application/json")


def request_id() -> str:
    """Return the id the front gave, or, behind any other server, one of our own."""
    return logs.request_id.get() or str(request.environ.setdefault("pulsegate.request_id", uuid.uuid4().hex))
