"""Conversor de Unidades Remoto: the documented REST API and what goes beyond it."""

from typing import Any

from flask import Blueprint

from gateway.backend import Backend
from gateway.facade import Facade
from gateway.facades.converter import conversions, exact, page
from gateway.facades.converter.errors import error_response
from gateway.settings import GatewaySettings
from gen.converter.v1 import converter_pb2 as messages
from gen.converter.v1 import converter_pb2_grpc as rpc


def create_blueprint(backend: Backend[Any], settings: GatewaySettings) -> Blueprint:
    """Make the documented routes, the exact ones and the page."""
    converter = Blueprint("converter", __name__)
    conversions.add_routes(converter, backend, settings.converter_ice_address)
    exact.add_routes(converter, backend)
    page.add_routes(converter, backend)
    return converter


def facts(status: messages.ConverterStatus) -> dict[str, str]:
    """Tell an operator where the Ice object is and whether it answers."""
    return {"Ice": f"{'answers' if status.ice.connected else 'silent'} at {status.ice.address}"}


FACADE = Facade(
    name="converter",
    service="converter.v1.ConverterService",
    stub=rpc.ConverterServiceStub,
    watch_status=lambda channel: rpc.ConverterServiceStub(channel).WatchStatus(messages.WatchStatusRequest()),
    components=("converter.ice",),
    create_blueprint=create_blueprint,
    error_response=error_response,
    snapshot_paths=frozenset({"/api/status"}),
    facts=facts,
)
