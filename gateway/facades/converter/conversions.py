"""The documented conversions, as their documentation and the recorded answers fix them."""

import json
import math
from collections.abc import Sequence
from typing import Any

import grpc
from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import UnsupportedMediaType

from gateway.backend import Backend
from gateway.batch import Batched, Metadata
from gateway.describe import describe
from gateway.errors import BackendError
from gateway.facades.converter.errors import refuse
from gen.converter.v1 import converter_pb2 as messages

TIMEOUT_SECONDS = 1.5
BATCH_LIMIT = 1024
HUGE_BYTES = 10_000


def _double(digits: str) -> float:
    """Read a JSON integer of any length as a double: infinite when too large, and without a negative zero."""
    return float(digits) + 0.0


WITH_DOUBLES = json.JSONDecoder(parse_int=_double)  # json.loads would make one for each request


def add_routes(converter: Blueprint, backend: Backend[Any], ice_address: str) -> None:
    """Add the documented routes."""

    async def convert_many(
        conversions: Sequence[messages.ConvertRequest], timeout_seconds: float, metadata: Metadata
    ) -> Sequence[messages.ConvertOutcome]:
        batch = messages.ConvertBatchRequest(conversions=conversions)
        answer = await backend.stub.ConvertBatch(batch, timeout=timeout_seconds, metadata=metadata)
        return answer.outcomes  # type: ignore[no-any-return]  # a stub of the asynchronous kind has no type

    convert_one = Batched(convert_many, BATCH_LIMIT)
    convert_alone = Batched(convert_many, limit=1)  # what is huge must not make a batch of others fail

    @converter.post("/api/convert")
    @describe({200: "Result", 400: "Error", 415: "Error", 503: "Error"}, body="Conversion")
    def convert() -> Response:
        """Convert one value, checking in documented order."""
        category, conversion = _read()
        require_serving(backend)
        method = convert_one if conversion.ByteSize() < HUGE_BYTES else convert_alone
        return jsonify(resultado=_result(category, backend.call(method, conversion, TIMEOUT_SECONDS)))

    @converter.get("/api/unidades/<category>")
    @describe({200: "DocumentedUnits", 400: "Error", 503: "Error"})
    def units(category: str) -> Response:
        """List the units of a category as one text."""
        require_serving(backend)
        try:
            answer = backend.call(backend.stub.ListUnits, messages.ListUnitsRequest(category=category), TIMEOUT_SECONDS)
        except BackendError as error:
            if error.code is grpc.StatusCode.NOT_FOUND:
                refuse(f"Categoría inválida: {error.details}")
            raise
        return jsonify(unidades=", ".join(answer.units))

    @converter.get("/api/status")
    @describe({200: "Status"})
    def status() -> Response:
        """Answer 200 always, as documented; the body tells whether conversions will work."""
        return jsonify(connected=backend.picture.serving(), servidor=ice_address)


def require_serving(backend: Backend[Any]) -> None:
    """Raise ``BackendError`` while conversions would not work, before anything else is looked at."""
    if not backend.picture.serving():
        raise BackendError(grpc.StatusCode.UNAVAILABLE, "not serving")


def read_object(decoder: json.JSONDecoder) -> dict[str, Any]:
    """Read the request's body as a JSON object, in any of the encodings of Unicode."""
    if not request.is_json:
        raise UnsupportedMediaType
    body = request.get_data()
    try:
        document = decoder.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except (ValueError, RecursionError):  # broken text, encoding or nesting
        refuse("Solicitud inválida: el cuerpo no es JSON")
    if not isinstance(document, dict):
        refuse("Solicitud inválida: se espera un objeto JSON")
    return document


def _read() -> tuple[str, messages.ConvertRequest]:
    """Read a conversion and the category as errors quote it; raises what is wrong first, in documented order."""
    document = read_object(WITH_DOUBLES)
    category = _name(document, "categoria", "Categoría no reconocida")
    value = _value(document.get("valor", 0.0))
    from_unit = _name(document, "desde", "Unidad inválida")
    to_unit = _name(document, "hasta", "Unidad inválida")
    return category, messages.ConvertRequest(
        category=sendable(category), value=value, from_unit=sendable(from_unit), to_unit=sendable(to_unit)
    )


def _result(category: str, outcome: messages.ConvertOutcome) -> float:
    if outcome.WhichOneof("outcome") == "value":
        if not math.isfinite(outcome.value):
            refuse("Valor inválido: el resultado no es un número finito")
        return outcome.value
    if outcome.error.reason == messages.ConvertError.REASON_UNKNOWN_CATEGORY:
        refuse(f"Categoría no reconocida: {category}")
    if outcome.error.reason == messages.ConvertError.REASON_UNKNOWN_UNIT:
        refuse(f"Unidad inválida: {outcome.error.message}")
    raise BackendError(grpc.StatusCode.UNAVAILABLE, outcome.error.message)


def _name(document: dict[str, Any], key: str, prefix: str) -> str:
    name = document.get(key, "")
    if not isinstance(name, str):
        refuse(f"{prefix}: {key} debe ser un texto")
    return name.lower()


def _value(value: object) -> float:
    if not isinstance(value, bool | float | str):
        refuse("Valor inválido: debe ser un número")
    try:
        return float(value)
    except ValueError:
        refuse(f"Valor inválido: could not convert string to float: {value!r}")


def sendable(name: str) -> str:
    """Write a lone surrogate, which no unit has and no UTF-8 can carry, as a question mark."""
    return name.encode("utf-8", "replace").decode()
