"""CCProxy, as its documentation and the clients it has fix it."""

import logging
from functools import partial
from typing import Any

from flask import Blueprint, Response, request

from gateway.backend import Backend
from gateway.facade import Facade
from gateway.facades.llmproxy import answers, page, providers, status, usage
from gateway.facades.llmproxy.access import FOR_EVERYBODY, Access
from gateway.facades.llmproxy.cors import Cors
from gateway.facades.llmproxy.errors import TooLarge, error_response, request_id
from gateway.settings import GatewaySettings
from gen.llmproxy.v1 import llmproxy_pb2 as messages
from gen.llmproxy.v1 import llmproxy_pb2_grpc as rpc

RETRIED = frozenset({408, 409, 429})
"""Client errors that a client may try again; every other one is final."""

audit = logging.getLogger("gateway.audit")


def create_blueprint(backend: Backend[Any], settings: GatewaySettings) -> Blueprint:
    """Make the documented routes."""
    llmproxy = Blueprint("llmproxy", __name__)
    access, cors, max_body_bytes = Access(settings), Cors(settings), settings.max_body("llmproxy")

    @llmproxy.before_app_request
    def refuse() -> Response | None:
        """Answer any preflight, refuse what is too large, then who may not call."""
        if request.method == "OPTIONS":
            return Response(status=204)
        if (request.content_length or 0) > max_body_bytes:
            raise TooLarge(max_body_bytes)
        access.require()
        return None

    @llmproxy.after_app_request
    def add_headers(response: Response) -> Response:
        cors.add(response)
        if request.path.startswith("/v1/"):
            response.headers["X-Request-ID"] = request_id()
            response.headers.setdefault("request-id", request_id())
            if 400 <= response.status_code < 500 and response.status_code not in RETRIED:
                response.headers.setdefault("x-should-retry", "false")
        return response

    if settings.llmproxy_audit:
        llmproxy.after_app_request(partial(_audit, access))

    status.add_routes(llmproxy, backend, settings, access)
    answers.add_routes(llmproxy, backend, access)
    providers.add_routes(llmproxy, backend)
    usage.add_routes(llmproxy, backend)
    page.add_routes(llmproxy, backend, settings)
    return llmproxy


def _audit(access: Access, response: Response) -> Response:
    """Log who used the API or was refused; what was said is none of it, and probes are not."""
    if request.path not in FOR_EVERYBODY and request.method != "OPTIONS":
        route = request.url_rule.rule if request.url_rule else ""
        told = {"peer": access.peer(), "client": access.client(), "method": request.method, "route": route}
        audit.info("audit", extra={**told, "status": response.status_code})
    return response


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
    snapshot_headers=frozenset({"authorization", "origin", "x-api-key", "x-forwarded-for"}),
    facts=facts,
)
