"""Whatever a client sends to the converter's REST: never a 5xx, never invalid JSON, never a text of a runtime."""

import json
import math
import struct
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

LEAKS = ("Traceback", "Error en", "NoneType", "object", "codec", "grpc", "Ice.", "::Ice", "JSON object", "line 1")
TEXTS = ("Solicitud", "Categoría", "Valor inválido: ", "Unidad inválida: ")
UNITS = ["celsius", "fahrenheit", "kelvin", "m", "km", "mi", "ft", "kg", "lb", "g", "kmh", "mph", "ms"]

texts = st.text(st.characters(), max_size=20)  # surrogates too
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
documents = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
names = st.sampled_from(["temperatura", "Longitud", "PESO", "velocidad", *UNITS]) | documents
conversions = st.fixed_dictionaries(
    {}, optional={"categoria": names, "valor": documents, "desde": names, "hasta": names}
)

in_any_order = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def refused(answer):
    error = answer.json()["error"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.body.isascii()
    assert not any(leak in error for leak in LEAKS if leak not in json.dumps(error.partition("'")[2]))
    return error


@in_any_order
@given(conversions)
@example({"categoria": "peso", "valor": 1, "desde": "\ud800", "hasta": "g"})
@example({"categoria": "\udfff", "valor": "\ud800"})
@example({"categoria": "temperatura", "valor": 1e308, "desde": "celsius", "hasta": "fahrenheit"})
def test_any_document_gets_a_finite_number_or_a_documented_refusal(rest, document):
    answer = rest.convert(document)
    if answer.status == 200:
        assert math.isfinite(answer.json()["resultado"])
    else:
        assert answer.status == 400
        assert refused(answer).startswith(TEXTS)


@in_any_order
@given(st.binary(max_size=80) | documents.map(lambda document: json.dumps(document).encode("utf-16", "surrogatepass")))
@example(b"[" * 200_000)
@example(b'{"valor":' * 200_000)
@example(b'{"categoria":"peso","valor":' + b"9" * 5000 + b',"desde":"kg","hasta":"g"}')
@example(b'{"categoria":"peso","valor":"' + b"9" * 500_000 + b'","desde":"kg","hasta":"g"}')
@example(b'\xff\xfe{"\x00')
@example(b'"\xed\xa0\x80"')
def test_any_bytes_get_a_documented_refusal(rest, body):
    answer = rest.convert(body)
    assert answer.status == 400
    assert refused(answer).startswith(TEXTS)


@in_any_order
@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["m", "km", "mi", "ft"]))
def test_every_double_survives_the_way_to_the_backend_and_back(rest, value, unit):
    answer = rest.convert({"categoria": "longitud", "valor": value, "desde": unit, "hasta": unit})
    if answer.status == 200:
        assert answer.json()["resultado"] == pytest.approx(value, rel=1e-12)
    if unit == "m":
        assert struct.pack("d", answer.json()["resultado"]) == struct.pack("d", value)


@in_any_order
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30) | st.binary(min_size=1, max_size=30))
@example("x" * 20_000)
@example("\0")
@example("%s%n")
def test_any_category_name_is_quoted_as_sent(rest, name):
    path = quote(name, safe="") if isinstance(name, str) else quote_from_bytes(name, safe="")
    text = name if isinstance(name, str) else name.decode("utf-8", "replace")
    answer = rest.send("GET", f"/api/unidades/{path}")
    if "/" in text:
        assert (answer.status, answer.json()) == (404, {"error": "Ruta no encontrada"})
    else:
        disponibles = "Disponibles: temperatura, longitud, peso, velocidad"
        assert answer.status == 400
        assert answer.json() == {"error": f"Categoría inválida: Categoria '{text}' no existe. {disponibles}"}


@in_any_order
@given(
    st.sampled_from(["text/plain", "", "application/jsonx", "multipart/form-data; boundary=x", "application/json/x"])
)
def test_any_other_content_type_is_unsupported(rest, content_type):
    answer = rest.convert({}, content_type)
    assert answer.status == 415
    assert refused(answer) == "Tipo de contenido no admitido: se espera application/json"


def test_a_body_above_the_limit_is_refused(rest):
    announced = {"Content-Type": "application/json", "Content-Length": str(10_485_761)}
    answer = rest.send("POST", "/api/convert", announced)
    assert (answer.status, answer.json()) == (413, {"error": "Solicitud demasiado grande"})


def test_a_backend_that_hangs_is_a_disconnected_one_and_the_next_request_is_answered(rest):
    hung = rest.convert({"categoria": "hang"})
    assert (hung.status, hung.json()) == (503, {"error": "Servidor ICE desconectado"})
    answer = rest.convert({"categoria": "peso", "valor": 1, "desde": "kg", "hasta": "g"})
    assert (answer.status, answer.json()) == (200, {"resultado": 1000.0})
