"""The description of every façade tells what its routes do, and its page shows it."""

import json
import re

import pytest
from jsonschema import Draft202012Validator

from gateway import openapi
from gateway.describe import describe, not_described, operation_of
from gateway.settings import GatewaySettings

FACADES = ("converter", "media", "llmproxy", "operator")


@pytest.fixture(params=FACADES)
def application(request, applications):
    return applications[getattr(GatewaySettings(), f"{request.param}_port")]


@pytest.fixture
def document(application):
    answer = application.test_client().get("/openapi.json")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    return answer.json


def test_every_view_says_whether_and_how_it_is_described(application):
    for rule in application.url_map.iter_rules():
        operation_of(application.view_functions[rule.endpoint])


def test_every_described_route_and_method_is_in_it_and_no_other(application, document):
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in application.url_map.iter_rules()
        if operation_of(application.view_functions[rule.endpoint])
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert {(path, method) for path, item in document["paths"].items() for method in item} == served


def test_it_is_consistent(document):
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    assert document["openapi"] == "3.1.0"
    used = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert used == set(schemas)
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert all(operation["summary"] and "default" in operation["responses"] for operation in operations)


def test_every_path_parameter_is_told(document):
    for path, item in document["paths"].items():
        for operation in item.values():
            told = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
            assert told == set(re.findall(r"{(\w+)}", path))


def test_the_page_shows_every_operation_and_loads_nothing(application, document):
    answer = application.test_client().get("/docs")
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    for path, item in document["paths"].items():
        for method in item:
            assert f"<b>{method.upper()}</b> {path}</code>" in answer.text
    assert "<script" not in answer.text
    assert "<link" not in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert re.search(r"default-src 'none'; style-src 'sha256-[\w+/=]+'", policy)


def test_members_of_a_schema_are_listed_through_references_lists_and_variants():
    description = {
        "components": {
            "schemas": {
                "Inner": {"type": "object", "properties": {"leaf": {"type": ["string", "null"]}}},
                "Outer": {
                    "oneOf": [
                        {
                            "type": "object",
                            "required": ["one"],
                            "properties": {"one": {"type": "array", "items": {"$ref": "#/components/schemas/Inner"}}},
                        },
                        {"type": "object", "properties": {"kind": {"enum": ["a", 1], "description": "which"}}},
                    ]
                },
            }
        }
    }
    rows = openapi.members({"$ref": "#/components/schemas/Outer"}, description)
    assert [tuple(row.values()) for row in rows] == [
        (0, "one", "list of object", True, ""),
        (1, "leaf", "string or null", False, ""),
        (0, "kind", '"a" | 1', False, "which"),
    ]


def test_what_a_view_says_of_itself_is_read_from_it():
    @describe({200: "Thing"}, query={"q": "What for."})
    def described():
        pass

    @not_described
    def left_out():
        pass

    def silent():
        pass

    assert operation_of(described).answers == {200: "Thing"}
    assert operation_of(left_out) is None
    with pytest.raises(AttributeError):
        operation_of(silent)
