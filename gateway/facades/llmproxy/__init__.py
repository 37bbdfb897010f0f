"""CCProxy, as its documentation and the clients it has fix it."""

from typing import Any

from flask import Blueprint, Response, request

from gateway.backend import Backend
from gateway.facade import Facade
from gateway.facades.llmproxy import answers, providers, status, usage
from gateway.facades.llmproxy.access import Access
from gateway.facades.llmproxy.errors import TooLarge, error_response, request_id
from gateway.settings import GatewaySettings
from gen.llmproxy.v1 import llmproxy_pb2 as messages
from gen.llmproxy.v1 import llmproxy_pb2_grpc as rpc

CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS, PATCH",
    "Access-Control-Allow-Headers": "Origin, Content-Type, Accept, Authorization, x-api-key, anthropic-version, "
    "anthropic-beta, x-request-id",
    "Access-Control-Max-Age": "86400",
}
NOT_FOR_OTHER_SITES = ("/providers", "/usage")
RETRIED = frozenset({408, 409, 429})
"""Client errors that a client may try again; every other one is final."""


def create_blueprint(backend: Backend[Any], settings: GatewaySettings) -> Blueprint:
    """Make the documented routes."""
    llmproxy = Blueprint("llmproxy", __name__)
    access = Access(settings)

    @llmproxy.before_app_request
    def refuse() -> Response | None:
        """Answer any preflight, refuse what is too large, then who may not call."""
        if request.method == "OPTIONS":
            return Response(status=204)
        if (request.content_length or 0) > settings.max_body_bytes:
            raise TooLarge(settings.max_body_bytes)
        access.require()
        return None

    @llmproxy.after_app_request
    def add_headers(response: Response) -> Response:
        if not request.path.startswith(NOT_FOR_OTHER_SITES):
            response.headers.update(CORS_HEADERS)
        if request.path.startswith("/v1/"):
            response.headers["X-Request-ID"] = request_id()
            response.headers.setdefault("request-id", request_id())
            if 400 <= response.status_code < 500 and response.status_code not in RETRIED:
                response.headers.setdefault("x-should-retry", "false")
        return response

    status.add_routes(llmproxy, backend, settings, access)
    answers.add_routes(llmproxy, backend, access)
    providers.add_routes(llmproxy, backend)
    usage.add_routes(llmproxy, backend)
    return llmproxy


def facts(status: messages.LlmProxyStatus) -> dict[str, str]:
    """Tell an operator how many of the providers in use are fit."""
    enabled = [provider for provider in status.providers if provider.enabled]
    return {"providers": f"{sum(provider.healthy for provider in enabled)} of {len(enabled)} healthy"}


FACADE = Facade(
    name="llmproxy",
    service="llmproxy.v1.LlmProxyService",
    stub=rpc.LlmProxyServiceStub,
    watch_status=lambda channel: rpc.LlmProxyServiceStub(channel).WatchStatus(messages.WatchStatusRequest()),
    components=(),
    create_blueprint=create_blueprint,
    error_response=error_response,
    snapshot_paths=frozenset({"/", "/health", "/status"}),
    snapshot_headers=frozenset({"authorization", "x-api-key", "x-forwarded-for"}),
    facts=facts,
)
