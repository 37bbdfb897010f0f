"""The description of a façade as OpenAPI 3.1, made from its routes, and a page that shows it."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from flask import Flask, Response, jsonify
from jinja2 import Environment, PackageLoader
from werkzeug.routing import Rule

from gateway.describe import Content, Operation, not_described, operation_of

ERROR = "Error"  # every façade has a schema of this name: its envelope
EVENTS = "text/event-stream"  # OpenAPI 3.1 has no schema for one event, and the whole has no end
DEEPEST = 6

Json = dict[str, Any]


def add_routes(app: Flask, package: str) -> None:
    """Add the description and its page; what no route can say stands in ``openapi.json`` of the façade's package."""

    @cache
    def description() -> Json:
        return document(app, json.loads(files(package).joinpath("openapi.json").read_text("utf-8")))

    @cache
    def rendered() -> str:
        return page(description())

    @app.get("/openapi.json")
    @not_described
    def openapi() -> Response:
        """Describe the routes to programs."""
        return jsonify(description())

    @app.get("/docs")
    @not_described
    def docs() -> Response:
        """Describe the routes to people."""
        response = Response(rendered(), content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; style-src 'sha256-{_digest(_style())}'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


def document(app: Flask, base: Json) -> Json:
    """Describe every route of an application that does not ask to be left out."""
    described = [
        (rule, operation, app.view_functions[rule.endpoint].__doc__ or "")
        for rule in app.url_map.iter_rules()
        if (operation := operation_of(app.view_functions[rule.endpoint]))
    ]
    rules_of: dict[str, int] = {}
    for rule, _, _ in described:
        rules_of[rule.endpoint] = rules_of.get(rule.endpoint, 0) + 1
    paths: dict[str, Json] = {}
    for rule, operation, text in sorted(described, key=lambda one: one[0].rule):
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            entry = _entry(rule, operation, text, several=rules_of[rule.endpoint] > 1)
            paths.setdefault(_path(rule), {})[method.lower()] = entry
    info = {"version": version("pulsegate"), **base["info"]}
    return {"openapi": "3.1.0", **base, "info": info, "paths": paths}


def _entry(rule: Rule, operation: Operation, text: str, *, several: bool) -> Json:
    summary, _, more = text.partition("\n")
    names = sorted(rule.arguments)
    name = rule.endpoint.rpartition(".")[2] + "".join(f"_by_{one}" for one in names if several)
    entry: Json = {"operationId": _camel(name), "summary": summary.replace("`", "").rstrip(".") + "."}
    if more.strip():
        entry["description"] = " ".join(more.split()).replace("`", "")
    parameters = [
        {"name": one, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for one in names
    ]
    for where, told in (("query", operation.query), ("header", operation.headers)):
        parameters += [
            {"name": one, "in": where, "required": False, "description": meaning, "schema": {"type": "string"}}
            for one, meaning in told.items()
        ]
    if parameters:
        entry["parameters"] = parameters
    if operation.body:
        entry["requestBody"] = {"required": True, "content": _content(operation.body)}
    entry["responses"] = {
        str(status): _answer(HTTPStatus(status).phrase, content) for status, content in operation.answers.items()
    }
    entry["responses"]["default"] = _answer("Any other outcome, beyond the gateway's limits for instance.", ERROR)
    return entry


def _answer(text: str, content: Content) -> Json:
    return {"description": text, "content": _content(content)} if content else {"description": text}


def _content(content: Content) -> Json:
    whole: Json = {}
    for one in content.split(", "):
        if "/" in one:
            whole[one] = {} if one == EVENTS else {"schema": {"type": "string"}}
        else:
            whole["application/json"] = {"schema": {"$ref": f"#/components/schemas/{one}"}}
    return whole


def _path(rule: Rule) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def page(description: Json) -> str:
    """Write the page of a description; it needs no script and loads nothing."""
    environment = Environment(loader=PackageLoader(__name__, ""), autoescape=True)
    return environment.get_template("page.html").render(
        document=description, style=_style(), members=lambda schema: list(members(schema, description))
    )


def members(schema: Json, description: Json, depth: int = 0) -> Iterator[Json]:
    """Yield the members of a schema from the outside in, each with its depth, name, type and meaning."""
    schema = _resolved(schema, description)
    for variant in schema.get("oneOf", []):
        yield from members(variant, description, depth)
    items = _resolved(schema.get("items", {}), description)
    if depth > DEEPEST:
        return
    if items.get("properties"):
        yield from members(items, description, depth)
    for name, part in schema.get("properties", {}).items():
        whole = _resolved(part, description)
        yield {
            "depth": depth,
            "name": name,
            "type": _type(whole, description),
            "required": name in schema.get("required", []),
            "text": part.get("description", whole.get("description", "")),
        }
        yield from members(whole, description, depth + 1)


def _type(schema: Json, description: Json) -> str:
    if "enum" in schema:
        return " | ".join(json.dumps(one, ensure_ascii=False) for one in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(_resolved(schema.get('items', {}), description), description)}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _resolved(schema: Json, description: Json) -> Json:
    while "$ref" in schema:
        schema = description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


@cache
def _style() -> str:
    return files(__name__).joinpath("page.css").read_text("utf-8")


def _digest(text: str) -> str:
    return b64encode(sha256(text.encode()).digest()).decode()
