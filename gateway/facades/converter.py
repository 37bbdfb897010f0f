"""Conversor de Unidades Remoto, as its documentation and its recorded answers fix it."""

import json
import math
from collections.abc import Sequence
from typing import Any, NoReturn

import grpc
from flask import Blueprint, Response, abort, jsonify, request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from gateway.backend import Backend
from gateway.batch import Batched, Metadata
from gateway.errors import BackendError
from gateway.facade import Facade
from gateway.settings import GatewaySettings
from gen.converter.v1 import converter_pb2 as messages
from gen.converter.v1 import converter_pb2_grpc as rpc

TIMEOUT_SECONDS = 1.5
BATCH_LIMIT = 1024

# {text} by HTTP status; what a view knows better it says itself.
TEXTS = {
    400: "Solicitud inválida",
    404: "Ruta no encontrada",
    405: "Método no permitido",
    413: "Solicitud demasiado grande",
    415: "Tipo de contenido no admitido: se espera application/json",
    503: "Servidor ICE desconectado",
}
INTERNAL = "Error interno del servidor"


def create_blueprint(backend: Backend[Any], settings: GatewaySettings) -> Blueprint:
    """Make the documented routes."""
    converter = Blueprint("converter", __name__)

    async def convert_many(
        conversions: Sequence[messages.ConvertRequest], timeout_seconds: float, metadata: Metadata
    ) -> Sequence[messages.ConvertOutcome]:
        batch = messages.ConvertBatchRequest(conversions=conversions)
        answer = await backend.stub.ConvertBatch(batch, timeout=timeout_seconds, metadata=metadata)
        return answer.outcomes  # type: ignore[no-any-return]  # a stub of the asynchronous kind has no type

    convert_one = Batched(convert_many, BATCH_LIMIT)

    @converter.post("/api/convert")
    def convert() -> Response:
        """Convert one value, checking in documented order."""
        category, conversion = _read(request.get_data() if request.is_json else None)
        _require_serving(backend)
        return jsonify(resultado=_result(category, backend.call(convert_one, conversion, TIMEOUT_SECONDS)))

    @converter.get("/api/unidades/<category>")
    def units(category: str) -> Response:
        """List the units of a category as one text."""
        _require_serving(backend)
        try:
            answer = backend.call(backend.stub.ListUnits, messages.ListUnitsRequest(category=category), TIMEOUT_SECONDS)
        except BackendError as error:
            if error.code is grpc.StatusCode.NOT_FOUND:
                _refuse(f"Categoría inválida: {error.details}")
            raise
        return jsonify(unidades=", ".join(answer.units))

    @converter.get("/api/status")
    def status() -> Response:
        """Answer 200 always, as documented; the body tells whether conversions will work."""
        return jsonify(connected=backend.picture.serving(), servidor=settings.converter_ice_address)

    @converter.get("/<path:_path>")
    def nothing(_path: str) -> NoReturn:
        """Answer 404 to every other GET, also where only another method is at home, as documented."""
        abort(404)

    return converter


def error_response(status: int, error: Exception) -> Response:
    """Tell an error in the documented envelope; a backend's failure is always the same 503."""
    text = TEXTS.get(status, INTERNAL)
    if isinstance(error, BackendError):
        status, text = 503, TEXTS[503]
    if isinstance(error, _Refused):
        text = error.text
    response = jsonify(error=text)
    response.status_code = status
    return response


class _Refused(BadRequest):
    """The request cannot be answered, for the documented reason in ``text``."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


def _refuse(text: str) -> NoReturn:
    raise _Refused(text)


def _require_serving(backend: Backend[Any]) -> None:
    if not backend.picture.serving():
        raise BackendError(grpc.StatusCode.UNAVAILABLE, "not serving")


def _read(body: bytes | None) -> tuple[str, messages.ConvertRequest]:
    """Read a conversion and the category as errors quote it; raises what is wrong first, in documented order."""
    if body is None:
        raise UnsupportedMediaType
    try:
        document = json.loads(body, parse_int=_double)
    except (ValueError, RecursionError):  # broken text, encoding or nesting
        _refuse("Solicitud inválida: el cuerpo no es JSON")
    if not isinstance(document, dict):
        _refuse("Solicitud inválida: se espera un objeto JSON")
    category = _name(document, "categoria", "Categoría no reconocida")
    value = _value(document.get("valor", 0.0))
    from_unit = _name(document, "desde", "Unidad inválida")
    to_unit = _name(document, "hasta", "Unidad inválida")
    return category, messages.ConvertRequest(
        category=_sendable(category), value=value, from_unit=_sendable(from_unit), to_unit=_sendable(to_unit)
    )


def _result(category: str, outcome: messages.ConvertOutcome) -> float:
    if outcome.WhichOneof("outcome") == "value":
        if not math.isfinite(outcome.value):
            _refuse("Valor inválido: el resultado no es un número finito")
        return outcome.value
    if outcome.error.reason == messages.ConvertError.REASON_UNKNOWN_CATEGORY:
        _refuse(f"Categoría no reconocida: {category}")
    if outcome.error.reason == messages.ConvertError.REASON_UNKNOWN_UNIT:
        _refuse(f"Unidad inválida: {outcome.error.message}")
    raise BackendError(grpc.StatusCode.UNAVAILABLE, outcome.error.message)


def _double(digits: str) -> float:
    """Read a JSON integer of any length as a double: infinite when too large, and without a negative zero."""
    return float(digits) + 0.0


def _name(document: dict[str, Any], key: str, prefix: str) -> str:
    name = document.get(key, "")
    if not isinstance(name, str):
        _refuse(f"{prefix}: {key} debe ser un texto")
    return name.lower()


def _value(value: object) -> float:
    if not isinstance(value, bool | float | str):
        _refuse("Valor inválido: debe ser un número")
    try:
        return float(value)
    except ValueError:
        _refuse(f"Valor inválido: could not convert string to float: {value!r}")


def _sendable(name: str) -> str:
    """Write a lone surrogate, which no unit has and no UTF-8 can carry, as a question mark."""
    return name.encode("utf-8", "replace").decode()


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
