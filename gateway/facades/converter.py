"""Conversor de Unidades Remoto, as its documentation and its recorded answers fix it."""

from typing import Any

from flask import Blueprint, Response, jsonify

from gateway.backend import Backend
from gateway.facade import Facade
from gateway.settings import GatewaySettings
from gen.converter.v1 import converter_pb2 as messages
from gen.converter.v1 import converter_pb2_grpc as rpc


def create_blueprint(backend: Backend[Any], settings: GatewaySettings) -> Blueprint:
    """Make the documented routes."""
    converter = Blueprint("converter", __name__)

    @converter.get("/api/status")
    def status() -> Response:
        """Answer 200 always, as documented; the body tells the truth."""
        return jsonify(connected=backend.picture.serving("converter.ice"), servidor=settings.converter_ice_address)

    return converter


def error_response(status: int, error: Exception) -> Response:  # noqa: ARG001  the texts are fixed
    """Tell an error in the documented envelope."""
    response = jsonify(error="Servidor ICE desconectado" if status == 503 else "Error interno del servidor")
    response.status_code = status
    return response


FACADE = Facade(
    name="converter",
    service="converter.v1.ConverterService",
    stub=rpc.ConverterServiceStub,
    watch_status=lambda channel: rpc.ConverterServiceStub(channel).WatchStatus(messages.WatchStatusRequest()),
    components=("converter.ice",),
    create_blueprint=create_blueprint,
    error_response=error_response,
    snapshot_paths=frozenset({"/api/status"}),
)
