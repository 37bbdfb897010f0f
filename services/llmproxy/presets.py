"""What is known beforehand of vendors by name, and how their endpoints are spelt."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_ENDPOINTS = ("/chat/completions", "/messages")
_VERSION = re.compile(r"/v\d+\w*$")


@dataclass(frozen=True, slots=True)
class Preset:
    """A vendor's address, wire format and the variables that may hold its key."""

    base_url: str
    message_format: str
    key_variables: tuple[str, ...] = ()


PRESETS: Mapping[str, Preset] = {
    "anthropic": Preset("https://api.anthropic.com", "anthropic", ("ANTHROPIC_API_KEY",)),
    "local": Preset("", "local"),
}


def endpoint(base_url: str, path: str) -> str:
    """Join a configured base with ``messages`` or ``chat/completions``.

    Bases in the wild come bare, with a version segment, or as the full endpoint; each means the same.
    """
    base = base_url.rstrip("/")
    if base.endswith(_ENDPOINTS):
        return base
    return f"{base}/{path}" if _VERSION.search(base) else f"{base}/v1/{path}"
