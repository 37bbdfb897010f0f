"""How many tokens a request has, for models whose tokenizer is not at hand."""

from collections.abc import Mapping
from typing import Any

import orjson

CHARACTERS_PER_TOKEN = 4


def estimate(fields: Mapping[str, Any]) -> int:
    """Guess the input tokens of a Messages request from the length of everything a model would read."""
    read = [fields.get("system"), fields.get("tools"), *(one.get("content") for one in fields.get("messages", ()))]
    characters = sum(len(part) if isinstance(part, str) else len(orjson.dumps(part)) for part in read if part)
    return -(-characters // CHARACTERS_PER_TOKEN)
