"""CCProxy, as its documentation and the clients it has fix it."""

from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, jsonify

from gateway.backend import Backend
from gateway.facade import Facade
from gateway.settings import GatewaySettings
from gen.llmproxy.v1 import llmproxy_pb2 as messages
from gen.llmproxy.v1 import llmproxy_pb2_grpc as rpc


def create_blueprint(backend: Backend[Any], settings: GatewaySettings) -> Blueprint:
    """Make the documented routes."""
    llmproxy = Blueprint("llmproxy", __name__)

    return llmproxy


def error_response(status: int, error: Exception) -> Response:  # noqa: ARG001  the type says it
    """Tell an error in the documented envelope."""
    response = jsonify(error={"type": "api_error", "message": HTTPStatus(status).phrase})
    response.status_code = status
    return response


FACADE = Facade(
    name="llmproxy",
    service="llmproxy.v1.LlmProxyService",
    stub=rpc.LlmProxyServiceStub,
    watch_status=lambda channel: rpc.LlmProxyServiceStub(channel).WatchStatus(messages.WatchStatusRequest()),
    components=(),
    create_blueprint=create_blueprint,
    error_response=error_response,
    snapshot_paths=frozenset({"/", "/health", "/status"}),
)
