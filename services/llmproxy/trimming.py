"""A conversation cut down to what a small model can take, and a word for everything that was cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.llmproxy.messages import text_of

SHORT_SYSTEM = "You are a helpful assistant. Answer briefly and in plain text."
SYSTEM_TOKENS = 400
"""A longer system text is replaced by the short one."""
PROMPT_TOKENS = 3000
"""More would keep a small processor busy for minutes before the first word."""
CHARACTERS_PER_TOKEN = 3.0
"""A careful guess, used to cut without counting; the engine counts what is left."""
BILLING_MARK = "x-anthropic-billing-header:"


@dataclass(frozen=True, slots=True)
class Turn:
    """All that one side said before the other spoke again."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the embedded model is asked."""

    system: str
    turns: Sequence[Turn]
    trimmed: frozenset[str] = field(default_factory=frozenset)
    """What of the request is not in it: ``tools``, ``system``, ``turns``, ``text``, ``media``."""

    def cut(self) -> "Prompt":
        """Leave out the oldest exchange, or the first half of the only text that is left."""
        if len(self.turns) > 1:
            kept = self.turns[1:]
            while len(kept) > 1 and kept[0].role != "user":
                kept = kept[1:]
            return Prompt(self.system, kept, self.trimmed | {"turns"})
        only = self.turns[0]
        return Prompt(self.system, [Turn(only.role, only.text[(len(only.text) + 1) // 2 :])], self.trimmed | {"text"})


def fit(fields: Mapping[str, Any], prompt_tokens: int = PROMPT_TOKENS) -> Prompt:
    """Turn a Messages request into plain alternating text of about so many tokens, newest turns first to stay."""
    trimmed = {"tools"} if fields.get("tools") else set()
    system, shortened = _system(fields.get("system"))
    if shortened:
        trimmed.add("system")
    turns: list[Turn] = []
    for message in fields["messages"]:
        text, lost_media = _flatten(message["content"])
        if lost_media:
            trimmed.add("media")
        role = "assistant" if message["role"] == "assistant" else "user"  # small templates know no later system turn
        if turns and turns[-1].role == role:
            turns[-1] = Turn(role, f"{turns[-1].text}\n\n{text}".strip())
        elif text or role == "user":
            turns.append(Turn(role, text))
    kept = _newest(turns or [Turn("user", "")], int(prompt_tokens * CHARACTERS_PER_TOKEN), trimmed)
    return Prompt(system, kept, frozenset(trimmed))


def _newest(turns: Sequence[Turn], characters: int, trimmed: set[str]) -> Sequence[Turn]:
    kept: list[Turn] = []
    for turn in reversed(turns):
        if kept and len(turn.text) > characters:
            break
        if len(turn.text) > characters:
            trimmed.add("text")
            turn = Turn(turn.role, turn.text[-characters:])  # noqa: PLW2901  questions stand at the end
        characters -= len(turn.text)
        kept.insert(0, turn)
    while len(kept) > 1 and kept[0].role != "user":
        kept.pop(0)
    if len(kept) < len(turns) and not (len(turns) - len(kept) == 1 and turns[0].role == "assistant"):
        trimmed.add("turns")
    return kept


def _system(system: object) -> tuple[str, bool]:
    """Return the system text and whether it had to be replaced."""
    blocks = system if isinstance(system, list) else [{"type": "text", "text": system}]
    text = text_of([block for block in blocks if isinstance(block, dict) and not _is_billing(block)])
    if len(text) > SYSTEM_TOKENS * CHARACTERS_PER_TOKEN:
        return SHORT_SYSTEM, True
    return text, False


def _is_billing(block: Mapping[str, Any]) -> bool:
    return str(block.get("text") or "").startswith(BILLING_MARK)


def _flatten(content: str | Sequence[Mapping[str, Any]]) -> tuple[str, bool]:
    """Return the words of a message and whether it held pictures or documents, which have none."""
    if isinstance(content, str):
        return content, False
    words: list[str] = []
    lost_media = False
    for block in content:
        match block.get("type"):
            case "text":
                words.append(text_of([block]))
            case "tool_use":
                arguments = orjson.dumps(block.get("input") or {}).decode()
                words.append(f"[called {block.get('name')} with {arguments}]")
            case "tool_result":
                words.append(f"[result: {text_of(block.get('content')) or 'none'}]")
            case "image" | "document" | "search_result":
                lost_media = True
                words.append(f"[{block.get('type')} left out]")
    return "\n\n".join(word for word in words if word), lost_media
