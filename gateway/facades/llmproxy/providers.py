"""The routes that read and change the providers."""

from typing import Any

import grpc
import orjson
from flask import Blueprint, Response, request
from werkzeug.exceptions import BadRequest, Conflict

from gateway.backend import Backend
from gateway.describe import describe
from gateway.errors import BackendError
from gateway.facades.llmproxy.documents import provider_document
from gateway.facades.llmproxy.errors import json_response
from gen.llmproxy.v1 import llmproxy_pb2 as messages

SECONDS = 10.0
REFUSALS = dict.fromkeys((401, 403, 503), "Error")
NAMES = {"apiBaseUrl": "api_base_url", "apiKey": "api_key", "messageFormat": "message_format"}
TEXTS = frozenset({"name", "api_base_url", "api_key", "message_format"})


def add_routes(blueprint: Blueprint, backend: Backend[Any]) -> None:
    """Add the routes to the façade."""
    _add_reading(blueprint, backend)
    _add_changing(blueprint, backend)


def _add_reading(blueprint: Blueprint, backend: Backend[Any]) -> None:
    @blueprint.get("/providers")
    @describe({200: "Providers", **REFUSALS})
    def list_providers() -> Response:
        """List every provider, keys masked."""
        listed = _call(backend, backend.stub.ListProviders, messages.ListProvidersRequest())
        return json_response([provider_document(one) for one in listed.providers])

    @blueprint.get("/providers/<name>")
    @describe({200: "Provider", 404: "Error", **REFUSALS})
    def read_provider(name: str) -> Response:
        """Read one provider, key masked."""
        told = _call(backend, backend.stub.GetProvider, messages.GetProviderRequest(name=name))
        return json_response(provider_document(told.provider))


def _add_changing(blueprint: Blueprint, backend: Backend[Any]) -> None:
    @blueprint.post("/providers")
    @describe({201: "Provider", 400: "Error", 409: "Error", **REFUSALS}, body="ProviderFields")
    def create_provider() -> Response:
        """Add a provider."""
        fields = read_fields()
        if not fields.get("name"):
            raise BadRequest("name is required")
        created = _call(backend, backend.stub.CreateProvider, messages.CreateProviderRequest(**fields))
        return json_response(provider_document(created.provider), 201)

    @blueprint.put("/providers/<name>")
    @describe({200: "Provider", 400: "Error", 404: "Error", 409: "Error", **REFUSALS}, body="ProviderFields")
    def update_provider(name: str) -> Response:
        """Change the given fields of a provider."""
        fields = read_fields()
        if "name" in fields:
            fields["new_name"] = fields.pop("name")
        if "models" in fields:
            fields["models"] = messages.ModelList(models=fields["models"])
        updated = _call(backend, backend.stub.UpdateProvider, messages.UpdateProviderRequest(name=name, **fields))
        return json_response(provider_document(updated.provider))

    @blueprint.delete("/providers/<name>")
    @describe({200: "Done", 404: "Error", 409: "Error", **REFUSALS})
    def delete_provider(name: str) -> Response:
        """Remove a provider."""
        _call(backend, backend.stub.DeleteProvider, messages.DeleteProviderRequest(name=name))
        return json_response({"message": "Provider deleted successfully"})

    @blueprint.patch("/providers/<name>/toggle")
    @describe({200: "Done", 404: "Error", 409: "Error", **REFUSALS})
    def toggle_provider(name: str) -> Response:
        """Flip whether a provider is used."""
        told = _call(backend, backend.stub.ToggleProvider, messages.ToggleProviderRequest(name=name))
        return json_response({"message": f"Provider {'enabled' if told.enabled else 'disabled'} successfully"})


def _call(backend: Backend[Any], method: Any, asked: Any) -> Any:  # noqa: ANN401  each method has its own messages
    """Call the backend; a configuration that cannot be changed is a conflict, not a bad request."""
    try:
        return backend.call(method, asked, SECONDS)
    except BackendError as error:
        if error.code is grpc.StatusCode.FAILED_PRECONDITION:
            raise Conflict(error.details) from None
        raise


def read_fields() -> dict[str, Any]:
    """Read the body of a change; both spellings of a key are taken, the camel-case one wins."""
    try:
        body = orjson.loads(request.get_data())
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The request body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object")
    snake = {key: value for key, value in body.items() if key not in NAMES}
    fields = snake | {NAMES[key]: value for key, value in body.items() if key in NAMES}
    for key, value in fields.items():
        _check(key, value)
    return {key: value for key, value in fields.items() if value not in (None, "")}


def _check(key: str, value: object) -> None:
    if key in TEXTS:
        right = value is None or isinstance(value, str)
    elif key == "models":
        right = value is None or (isinstance(value, list) and all(isinstance(one, str) for one in value))
    elif key == "enabled":
        right = value is None or isinstance(value, bool)
    else:
        raise BadRequest(f"{key}: unknown field")
    if not right:
        raise BadRequest(f"{key}: wrong type")
