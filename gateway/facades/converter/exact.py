"""Exact conversions of everyday quantities, beside the documented routes."""

import json
from collections.abc import Mapping
from typing import Any, Final

import grpc
from flask import Blueprint, Response, jsonify, request

from gateway.backend import Backend
from gateway.describe import describe
from gateway.errors import BackendError
from gateway.facades.converter.conversions import TIMEOUT_SECONDS, read_object, require_serving, sendable
from gateway.facades.converter.errors import Refused
from gen.converter.v1 import converter_pb2 as messages

MAX_CONVERSIONS = 1024
LANGUAGES = ("es", "en")
INVALID_REQUEST = "invalid_request"

WITH_TEXTS = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)  # no digit is lost

CODES: Final[Mapping[int, str]] = {
    messages.ConvertError.REASON_UNKNOWN_CATEGORY: "unknown_quantity",
    messages.ConvertError.REASON_UNKNOWN_UNIT: "unknown_unit",
    messages.ConvertError.REASON_INVALID_VALUE: "invalid_value",
    messages.ConvertError.REASON_INCOMPATIBLE_UNITS: "incompatible_units",
}


def add_routes(converter: Blueprint, backend: Backend[Any]) -> None:
    """Add the routes under ``/api/v1``."""

    @converter.post("/api/v1/convert")
    @describe(
        {200: "ExactAnswer", 400: "Error", 415: "Error", 503: "Error"},
        body="ExactRequest",
        headers={"Accept-Language": "Language of the texts where the body names none: es or en."},
    )
    def convert_exactly() -> Response:
        """Convert one value, or those listed under ``conversions``, each with its own outcome."""
        document = read_object(WITH_TEXTS)
        several = document.get("conversions")
        asked = [document] if several is None else several
        if not isinstance(asked, list) or len(asked) > MAX_CONVERSIONS:
            raise Refused(f"conversions: se espera una lista de {MAX_CONVERSIONS} como máximo", code=INVALID_REQUEST)
        question = messages.ConvertExactRequest(
            conversions=[_conversion(one) for one in asked], language=_language(document)
        )
        require_serving(backend)
        outcomes = backend.call(backend.stub.ConvertExact, question, TIMEOUT_SECONDS).outcomes
        if several is not None:
            return jsonify(results=[_outcome(one) for one in outcomes])
        if outcomes[0].WhichOneof("outcome") == "error":
            told = _outcome(outcomes[0])
            raise Refused(told.pop("error"), **told)
        return jsonify(_outcome(outcomes[0]))

    @converter.get("/api/v1/units")
    @describe({200: "Quantities", 400: "Error", 503: "Error"}, query={"quantity": "The one to list, such as mass."})
    def list_units() -> Response:
        """List every quantity with its units, or the one that ``?quantity=`` names."""
        quantity = request.args.get("quantity", "")
        require_serving(backend)
        try:
            question = messages.ListExactUnitsRequest(quantity=sendable(quantity))
            answer = backend.call(backend.stub.ListExactUnits, question, TIMEOUT_SECONDS)
        except BackendError as error:
            if error.code is grpc.StatusCode.NOT_FOUND:
                raise Refused(f"Magnitud desconocida: {quantity}", code="unknown_quantity") from None
            raise
        return jsonify(quantities=[_quantity(one) for one in answer.quantities])


def _language(document: dict[str, Any]) -> str:
    language = document.get("language") or request.accept_languages.best_match(LANGUAGES, "es")
    if language not in LANGUAGES:
        raise Refused("language: se espera es o en", code=INVALID_REQUEST)
    return str(language)


def _conversion(asked: object) -> messages.ExactConversion:
    if not isinstance(asked, dict):
        raise Refused("conversions: se espera una lista de objetos", code=INVALID_REQUEST)
    return messages.ExactConversion(
        value=_text(asked, "value"),
        from_unit=_text(asked, "from"),
        to_unit=_text(asked, "to"),
        quantity=_text(asked, "quantity"),
        significant_digits=_digits(_text(asked, "digits")),
    )


def _text(asked: Mapping[str, object], key: str) -> str:
    value = asked.get(key, "")
    if not isinstance(value, str):
        raise Refused(f"{key}: se espera un texto o un número", code=INVALID_REQUEST)
    return sendable(value)


def _digits(text: str) -> int:
    """Read a number of digits; empty means the backend's choice, and what it allows it says itself."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text)) and text:
        raise Refused("digits: se espera un número entero positivo", code=INVALID_REQUEST)
    return int(text or 0)


def _outcome(outcome: messages.ExactOutcome) -> dict[str, Any]:
    if outcome.WhichOneof("outcome") == "value":
        value = outcome.value
        told = {
            "value": value.value,
            "decimal": value.decimal,
            "exact": value.exact,
            "quantity": value.quantity,
            "from": value.from_unit,
            "to": value.to_unit,
        }
        return {**told, "warning": value.warning} if value.warning else told
    error = outcome.error
    return {"error": error.message, "code": CODES[error.reason], "suggestions": list(error.suggestions)}


def _quantity(quantity: messages.Quantity) -> dict[str, Any]:
    return {
        "name": quantity.name,
        "names": {"es": quantity.name_es, "en": quantity.name_en},
        "units": [_unit(unit) for unit in quantity.units],
    }


def _unit(unit: messages.Unit) -> dict[str, Any]:
    return {
        "symbol": unit.symbol,
        "names": {"es": unit.name_es, "en": unit.name_en},
        "aliases": list(unit.aliases),
        "factor": unit.factor or None,
        "source": unit.source,
    }
