"""icey-server, as its documentation and the clients it has fix it."""

from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, jsonify

from gateway.backend import Backend
from gateway.facade import Facade
from gateway.settings import GatewaySettings
from gen.media.v1 import media_pb2 as messages
from gen.media.v1 import media_pb2_grpc as rpc


def create_blueprint(backend: Backend[Any], settings: GatewaySettings) -> Blueprint:
    """Make the documented routes."""
    media = Blueprint("media", __name__)

    return media


def error_response(status: int, error: Exception) -> Response:  # noqa: ARG001  the code says it
    """Tell an error in the documented envelope."""
    response = jsonify(status="error", error=HTTPStatus(status).name.lower())
    response.status_code = status
    return response


FACADE = Facade(
    name="media",
    service="media.v1.MediaService",
    stub=rpc.MediaServiceStub,
    watch_status=lambda channel: rpc.MediaServiceStub(channel).WatchStatus(messages.WatchStatusRequest()),
    components=("media.source",),
    create_blueprint=create_blueprint,
    error_response=error_response,
    snapshot_paths=frozenset({"/api/health", "/api/ready", "/api/status"}),
)
