"""What is refused before any view is asked is told in the words of each façade."""

import pytest
from werkzeug.exceptions import RequestHeaderFieldsTooLarge, RequestTimeout, ServiceUnavailable, TooManyRequests

from gateway.bridge import REFUSED, SCOPE
from gateway.settings import GatewaySettings

ERRORS = [
    RequestTimeout("late"),
    TooManyRequests("Too many requests", retry_after=7),
    RequestHeaderFieldsTooLarge("large"),
    ServiceUnavailable("Server at capacity", retry_after=7),
]


def anthropic(kind, message, **more):
    return {"type": "error", "error": {"type": kind, "message": message, **more}}


BODIES = {
    ("converter", "/api/convert"): [
        {"error": "La solicitud no llegó completa a tiempo"},
        {"error": "Demasiadas solicitudes"},
        {"error": "Cabeceras demasiado grandes"},
        {"error": "Servidor ocupado"},
    ],
    ("media", "/api/config"): [
        {"status": "error", "error": "timeout"},
        {"status": "error", "error": "too_many_requests"},
        {"status": "error", "error": "headers_too_large"},
        {"status": "error", "error": "unavailable"},
    ],
    ("media", "/page"): [None] * 4,
    ("llmproxy", "/v1/messages"): [
        anthropic("timeout_error", "late"),
        anthropic("rate_limit_error", "Too many requests", code="rate_limit_exceeded"),
        anthropic("invalid_request_error", "large"),
        anthropic("overloaded_error", "Server at capacity"),
    ],
    ("operator", "/api/services"): [
        {"error": "Request Timeout"},
        {"error": "Too Many Requests"},
        {"error": "Request Header Fields Too Large"},
        {"error": "Service Unavailable"},
    ],
}


@pytest.mark.parametrize(
    ("name", "path", "error", "body"),
    [
        pytest.param(name, path, error, body, id=f"{name} {path} {error.code}")
        for (name, path), bodies in BODIES.items()
        for error, body in zip(ERRORS, bodies, strict=True)
    ],
)
def test_a_refusal_has_the_facades_envelope(applications, name, path, error, body):
    client = applications[getattr(GatewaySettings(), f"{name}_port")].test_client()
    answer = client.get(path, environ_overrides={SCOPE: {REFUSED: error}})
    assert answer.status_code == error.code
    if body is None:
        assert answer.data == b""
    else:
        assert {key: value for key, value in answer.json.items() if key != "request_id"} == body
    if error.code in (429, 503):
        assert answer.headers["Retry-After"] == "7"
