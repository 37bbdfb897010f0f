"""JSON schemas cut down to what Gemini takes in a function's parameters."""

from collections.abc import Mapping
from typing import Any

KEPT = frozenset(
    {"type", "format", "title", "description", "nullable", "enum", "items", "minItems", "maxItems", "properties"}
    | {"required", "minimum", "maximum", "minLength", "maxLength", "pattern", "anyOf", "propertyOrdering", "default"}
)
FORMATS = frozenset({"enum", "date-time", "float", "double", "int32", "int64"})
MOST_DEPTH = 12  # deeper ones are refused


def clean(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema of the same meaning, as far as Gemini has words for it."""
    return _clean(schema, {**(schema.get("definitions") or {}), **(schema.get("$defs") or {})}, 0)


def _clean(schema: Any, definitions: Mapping[str, Any], depth: int) -> dict[str, Any]:  # noqa: ANN401  any JSON
    if not isinstance(schema, Mapping) or depth > MOST_DEPTH:
        return {"type": "object"} if isinstance(schema, Mapping) else {}
    if isinstance(reference := schema.get("$ref"), str):
        named = definitions.get(reference.rpartition("/")[2], {})
        return _clean({**named, **{key: schema[key] for key in schema if key != "$ref"}}, definitions, depth + 1)
    source = _in_known_words(schema)
    cleaned: dict[str, Any] = {key: value for key, value in source.items() if key in KEPT}
    _settle_type(cleaned, source)
    _settle_parts(cleaned, definitions, depth)
    if "anyOf" in cleaned:
        _settle_variants(cleaned, definitions, depth)
    return cleaned


def _in_known_words(schema: Mapping[str, Any]) -> dict[str, Any]:
    source = dict(schema)
    if "const" in source:
        source["enum"] = [source["const"]]
    if variants := source.get("anyOf") or source.get("oneOf"):
        source["anyOf"] = variants
    for part in source.get("allOf") or []:
        source = {**part, **source} if isinstance(part, Mapping) else source
    return source


def _settle_parts(cleaned: dict[str, Any], definitions: Mapping[str, Any], depth: int) -> None:
    """Clean what an object or a list is made of; only properties that exist can be required."""
    if isinstance(properties := cleaned.get("properties"), Mapping):
        cleaned["properties"] = {name: _clean(one, definitions, depth + 1) for name, one in properties.items()}
        cleaned["required"] = [name for name in cleaned.get("required") or [] if name in properties]
    if not cleaned.get("required"):
        cleaned.pop("required", None)
    if "items" in cleaned:
        cleaned["items"] = _clean(cleaned["items"], definitions, depth + 1)
    elif cleaned.get("type") == "array":
        cleaned["items"] = {}


def _settle_type(cleaned: dict[str, Any], source: Mapping[str, Any]) -> None:
    """Write several types as one that may be null, and keep enumerations of texts only."""
    types = source.get("type")
    if isinstance(types, list):
        real = [one for one in types if one != "null"]
        cleaned["type"] = real[0] if real else "string"
        if len(real) < len(types):
            cleaned["nullable"] = True
    if cleaned.get("format") not in FORMATS:
        cleaned.pop("format", None)
    if "enum" in cleaned:
        texts = [one for one in cleaned["enum"] if isinstance(one, str) and one]
        if texts and cleaned.get("type", "string") == "string":
            cleaned |= {"type": "string", "enum": texts}
        else:
            del cleaned["enum"]


def _settle_variants(cleaned: dict[str, Any], definitions: Mapping[str, Any], depth: int) -> None:
    variants = [one for one in cleaned.pop("anyOf") if isinstance(one, Mapping)]
    real = [_clean(one, definitions, depth + 1) for one in variants if one.get("type") != "null"]
    if len(real) < len(variants):
        cleaned["nullable"] = True
    if len(real) == 1:
        cleaned.update({**real[0], **cleaned})
    elif real:
        cleaned["anyOf"] = real
