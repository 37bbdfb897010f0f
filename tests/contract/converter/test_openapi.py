"""The description of the routes tells what the routes do."""

import pytest


@pytest.fixture
def document(rest):
    answer = rest.send("GET", "/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    return answer.json()


def resolve(document, schema):
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


@pytest.mark.parametrize(
    ("method", "path", "template", "body"),
    [
        ("POST", "/api/convert", None, b'{"categoria":"peso","valor":1,"desde":"kg","hasta":"g"}'),
        ("POST", "/api/convert", None, b"{}"),
        ("GET", "/api/unidades/peso", "/api/unidades/{category}", None),
        ("GET", "/api/status", None, None),
        ("GET", "/api/v1/units", None, None),
        ("POST", "/api/v1/convert", None, b'{"value":1,"from":"kg","to":"g"}'),
        ("POST", "/api/v1/convert", None, b'{"value":1,"from":"kgg","to":"g"}'),
        ("POST", "/api/v1/convert", None, b'{"conversions":[]}'),
    ],
)
def test_answers_have_the_described_members(rest, document, method, path, template, body):
    headers = {"Content-Type": "application/json"} if body else {}
    answer = rest.send(method, path, headers, body)
    operation = document["paths"][template or path][method.lower()]
    described = resolve(document, operation["responses"][str(answer.status)]["content"]["application/json"]["schema"])
    shapes = [resolve(document, one) for one in described.get("oneOf", [described])]
    assert any(set(shape["required"]) <= set(answer.json()) <= set(shape["properties"]) for shape in shapes)
