"""How many tokens something has, where nobody who knows can be asked: for routing, `count_tokens` and missing usage.

Vendors but OpenAI publish no tokenizer, so all of this is an estimate and told as one. What is read, and the constants,
are those of Anthropic's documentation: https://docs.claude.com/en/docs/build-with-claude/token-counting
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import orjson
from rs_bpe.bpe import openai

from services.llmproxy.images import image_tokens

CHARACTERS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 3
TOKENS_PER_DOCUMENT_BYTE = 1 / 30
"""A page of PDF is read as text and picture, 2000 tokens and more, and takes about 60 kB."""
SLICES, SLICE_CHARACTERS = 16, 1024
"""How much of a text is counted where nobody can wait: one or two milliseconds' worth."""
SAMPLE_CHARACTERS = 2048

_O200K_MODELS = re.compile(r"(?:gpt-4o|gpt-4\.[15]|gpt-[5-9]|chatgpt|gpt-oss|o\d)")

Count = Callable[[str], int]


def glance(fields: Mapping[str, Any]) -> int:
    """Guess the input tokens of a Messages request from the length of all that a model would read, at no cost."""
    read = [fields.get("system"), fields.get("tools"), *(one.get("content") for one in fields.get("messages", ()))]
    characters = sum(len(part) if isinstance(part, str) else len(orjson.dumps(part)) for part in read if part)
    return -(-characters // CHARACTERS_PER_TOKEN)


def estimate(fields: Mapping[str, Any], model: str) -> int:
    """Count the input tokens of a Messages request; of a long one so many slices, so that it never takes long."""
    texts, others = _read(fields)
    characters = sum(map(len, texts))
    if characters <= SLICES * SLICE_CHARACTERS:
        return _count(texts, model) + others
    text = "\n".join(texts)
    starts = range(0, len(text) - SLICE_CHARACTERS, (len(text) - SLICE_CHARACTERS) // (SLICES - 1))
    counted = _count([text[start : start + SLICE_CHARACTERS] for start in starts], model)
    return round(counted * characters / (len(starts) * SLICE_CHARACTERS)) + others


def count(fields: Mapping[str, Any], model: str) -> int:
    """Count all input tokens of a Messages request; takes a tenth of a second for each megabyte, so not on a loop."""
    texts, others = _read(fields)
    return _count(texts, model) + others


class Sample:
    """The beginning of a text that comes in pieces and is not kept, to guess the tokens of all of it."""

    __slots__ = ("_kept", "_room", "characters")

    def __init__(self) -> None:
        self.characters = 0
        self._kept: list[str] = []
        self._room = SAMPLE_CHARACTERS

    def add(self, text: str) -> None:
        """Take the next piece."""
        self.characters += len(text)
        if self._room > 0:
            self._kept.append(text[: self._room])
            self._room -= len(text)

    def tokens(self, model: str) -> int:
        """Guess the tokens of everything that came."""
        kept = "".join(self._kept)
        return round(count_text(kept, model) * self.characters / len(kept)) if kept else 0


def count_text(text: str, model: str) -> int:
    """Count the tokens of a text."""
    return _count([text], model)


def _count(texts: Sequence[str], model: str) -> int:
    counting = _vocabulary("o200k_base" if _O200K_MODELS.match(model.rpartition("/")[2]) else "cl100k_base")
    return sum(map(counting, texts))


@cache
def _vocabulary(name: str) -> Count:
    """Load a vocabulary when it is first needed: 34 MB for cl100k, 70 for o200k, and a twentieth of a second."""
    counting: Count = getattr(openai, name)().count
    return counting


def _read(fields: Mapping[str, Any]) -> tuple[list[str], int]:
    """Collect what a model would read: texts, and the tokens of everything that is none."""
    texts: list[str] = []
    others = 0
    messages = [one for one in fields.get("messages") or () if isinstance(one, dict)]
    for content in (fields.get("system"), *(message.get("content") for message in messages)):
        others += _read_content(content, texts)
    for tool in fields.get("tools") or ():
        if isinstance(tool, dict):
            texts += [text for text in (tool.get("name"), tool.get("description")) if isinstance(text, str)]
            texts += [_json(tool["input_schema"])] if tool.get("input_schema") else []
    return texts, others + TOKENS_PER_MESSAGE * len(messages)


def _read_content(content: object, texts: list[str]) -> int:
    if isinstance(content, str):
        texts.append(content)
        return 0
    blocks = content if isinstance(content, list) else []
    return sum(_read_block(block, texts) for block in blocks if isinstance(block, dict))


def _read_block(block: Mapping[str, Any], texts: list[str]) -> int:
    match block.get("type"):
        case "text":
            return _read_content(block.get("text"), texts)
        case "tool_use":
            texts += [str(block.get("name") or ""), _json(block.get("input") or {})]
        case "tool_result":
            return _read_content(block.get("content"), texts)
        case "image":
            return image_tokens(block.get("source"))
        case "document":
            return _read_document(block.get("source"), texts)
        case "search_result":
            return _read_content(block.get("content"), texts)
    return 0


def _read_document(source: object, texts: list[str]) -> int:
    if not isinstance(source, dict):
        return 0
    if source.get("type") in ("text", "content"):
        return _read_content(source.get("data") or source.get("content"), texts)
    data = source.get("data")
    return round(len(data) * 3 / 4 * TOKENS_PER_DOCUMENT_BYTE) if isinstance(data, str) else 0


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
