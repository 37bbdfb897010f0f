"""Anthropic's Messages translated to Gemini's generateContent and back."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from services.llmproxy import gemini_schema
from services.llmproxy.answers import Piece
from services.llmproxy.chat import Fields, blocks_of, failure, system_text
from services.llmproxy.events import SIGNATURE_TAG, Usage, Writer
from services.llmproxy.messages import DEFAULT_MAX_TOKENS, AnswerError, text_of

STOP_REASONS = {
    "STOP": "end_turn",
    "MAX_TOKENS": "max_tokens",
    **dict.fromkeys(("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE"), "refusal"),
    **dict.fromkeys(("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"), "refusal"),
}
FAILURES = frozenset({"MALFORMED_FUNCTION_CALL", "MISSING_THOUGHT_SIGNATURE", "UNEXPECTED_TOOL_CALL"})
MOST_STOPS = 5
UNSIGNED = "skip_thought_signature_validator"
"""Documented for calls that another model made, which the newest models would refuse without a signature."""


def request(fields: Fields, model: str) -> dict[str, Any]:
    """Translate a whole request; Gemini refuses fields that it does not know, so nothing else is passed."""
    body: dict[str, Any] = {"contents": _contents(fields["messages"], signed=model.startswith("gemini-3"))}
    if system := system_text(fields.get("system")):
        body["systemInstruction"] = {"parts": [{"text": system}]}
    declarations = [_declaration(tool) for tool in fields.get("tools") or [] if tool.get("type") in (None, "custom")]
    if declarations:
        body["tools"] = [{"functionDeclarations": declarations}]
        if calling := _calling(fields.get("tool_choice") or {}):
            body["toolConfig"] = {"functionCallingConfig": calling}
    body["generationConfig"] = _generation(fields, model)
    return body


def _generation(fields: Fields, model: str) -> dict[str, Any]:
    wanted = {
        "maxOutputTokens": fields.get("max_tokens", DEFAULT_MAX_TOKENS),
        "temperature": fields.get("temperature"),
        "topP": fields.get("top_p"),
        "topK": fields.get("top_k"),
        "stopSequences": (fields.get("stop_sequences") or [])[:MOST_STOPS] or None,
        "thinkingConfig": _thinking(fields, model),
    }
    output = fields.get("output_config") or {}
    if schema := (output.get("format") or {}).get("schema"):
        wanted |= {"responseMimeType": "application/json", "responseJsonSchema": schema}
    return {name: value for name, value in wanted.items() if value is not None}


def _thinking(fields: Fields, model: str) -> dict[str, Any] | None:
    thinking = fields.get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") not in ("enabled", "adaptive"):
        return None
    effort = str((fields.get("output_config") or {}).get("effort") or "")
    if model.startswith("gemini-3"):
        level = {"xhigh": "high", "max": "high"}.get(effort, effort)
        return {"includeThoughts": True, **({"thinkingLevel": level} if level else {})}
    budget = thinking.get("budget_tokens")
    return {"includeThoughts": True, **({"thinkingBudget": budget} if budget else {})}


def _declaration(tool: Fields) -> dict[str, Any]:
    parameters = gemini_schema.clean(tool.get("input_schema") or {})
    declaration = {"name": tool["name"], "description": tool.get("description") or tool["name"]}
    # An object without properties is refused; a function without parameters is not.
    return {**declaration, "parameters": parameters} if parameters.get("properties") else declaration


def _calling(choice: Fields) -> dict[str, Any] | None:
    match choice.get("type"):
        case "auto" | "any" | "none" as word:
            return {"mode": word.upper()}
        case "tool":
            return {"mode": "ANY", "allowedFunctionNames": [choice.get("name")]}
    return None


def _contents(messages: Sequence[Fields], *, signed: bool) -> list[dict[str, Any]]:
    """Translate the turns; roles alternate, and a result finds the name of its call by the call's id."""
    names = {
        block["id"]: block["name"]
        for message in messages
        for block in blocks_of(message["content"])
        if block.get("type") == "tool_use"
    }
    contents: list[dict[str, Any]] = []
    for message in messages:
        role = "model" if message["role"] == "assistant" else "user"
        blocks = blocks_of(message["content"])
        if message["role"] == "system":
            parts = [{"text": f"<system>\n{text_of(message['content'])}\n</system>"}]
        else:
            parts = list(_model_parts(blocks, signed=signed) if role == "model" else _user_parts(blocks, names))
        if parts and contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        elif parts:
            contents.append({"role": role, "parts": parts})
    return contents


def _model_parts(blocks: Sequence[Fields], *, signed: bool) -> Iterator[dict[str, Any]]:
    """Yield what the model said, each signature back on the part that it came with."""
    signature = ""
    calls = 0
    for block in blocks:
        match block.get("type"):
            case "thinking":
                tag, _, data = str(block.get("signature") or "").removeprefix(SIGNATURE_TAG).partition(":")
                ours = str(block.get("signature") or "").startswith(SIGNATURE_TAG)
                signature = data if ours and tag and data else signature
                continue
            case "text" if block.get("text"):
                part: dict[str, Any] = {"text": block["text"]}
            case "tool_use":
                part = {"functionCall": {"name": block["name"], "args": block.get("input") or {}}}
                if signed and not calls and not signature:
                    signature = UNSIGNED
                calls += 1
            case _:
                continue
        yield {**part, "thoughtSignature": signature} if signature else part
        signature = ""


def _user_parts(blocks: Sequence[Fields], names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    results = [block for block in blocks if block.get("type") == "tool_result"]
    for block in results:
        content = blocks_of(block.get("content") or "")
        text = text_of(content) or "(no output)"
        response = {"error": text} if block.get("is_error") else {"result": text}
        yield {"functionResponse": {"name": names.get(block["tool_use_id"], "unknown"), "response": response}}
        yield from (_media(one) for one in content if one.get("type") == "image")
    for block in blocks:
        match block.get("type"):
            case "text" if block.get("text"):
                yield {"text": block["text"]}
            case "image" | "document":
                yield _media(block)
            case "search_result":
                yield {"text": f"{block.get('title', '')}\n{text_of(block.get('content'))}".strip()}


def _media(block: Fields) -> dict[str, Any]:
    source = block.get("source") or {}
    match source.get("type"):
        case "base64":
            return {"inlineData": {"mimeType": source.get("media_type"), "data": source.get("data")}}
        case "url":
            return {"fileData": {"fileUri": source.get("url")}}
        case "text":
            return {"text": source.get("data") or ""}
    return {"text": text_of(source.get("content")) or "[document left out]"}


class Answer:
    """Translates the chunks of one answer, each a whole JSON object, or the only one of a plain answer."""

    def __init__(self, provider: str, model: str, input_tokens: int) -> None:
        self.writer = Writer(f"{provider}/{model}", input_tokens)
        self.estimated = True
        self._tag = f"{SIGNATURE_TAG}{provider}:"
        self._finish_reason = ""
        self._thinking = False
        self._calls = 0

    def take(self, chunk: Fields) -> list[Piece]:
        """Return the events for one chunk; raises ``AnswerError`` when the vendor says that it failed."""
        if error := chunk.get("error"):
            raise failure(error, 502)
        if usage := chunk.get("usageMetadata"):
            self._count(usage)
        if (chunk.get("promptFeedback") or {}).get("blockReason"):
            self._finish_reason = "SAFETY"
        pieces = self.writer.start()
        for candidate in (chunk.get("candidates") or [])[:1]:
            for part in (candidate.get("content") or {}).get("parts") or []:
                pieces += self._part(part)
            self._finish_reason = candidate.get("finishReason") or self._finish_reason
        return pieces

    def finish(self) -> list[Piece]:
        """Return the last events."""
        empty = not self.writer.said.characters and not self._calls
        if self._finish_reason in FAILURES or (empty and self._finish_reason == "OTHER"):
            raise AnswerError(502, f"The provider ended with {self._finish_reason}", code="provider_error")
        reason = "tool_use" if self._calls else STOP_REASONS.get(self._finish_reason, "end_turn")
        return self._end_thought("") + self.writer.finish(reason, estimated=self.estimated)

    def _part(self, part: Fields) -> list[Piece]:
        signature = str(part.get("thoughtSignature") or "")
        if part.get("thought") and part.get("text"):
            self._thinking = True
            return self.writer.thinking(part["text"])
        pieces = self._end_thought(signature)
        if text := part.get("text"):
            pieces += self.writer.text(text)
        if call := part.get("functionCall"):
            key = self._calls
            self._calls += 1
            pieces += self.writer.tool(key, str(call.get("id") or ""), str(call.get("name") or ""))
            pieces += self.writer.arguments(key, orjson.dumps(call.get("args") or {}).decode())
            pieces += self.writer.end_tool()  # calls come whole
        return pieces

    def _end_thought(self, signature: str) -> list[Piece]:
        """Sign the open thought; a signature without one is carried by a thought of no words."""
        if not self._thinking and not signature:
            return []
        self._thinking = False
        return self.writer.signature(self._tag + signature)

    def _count(self, usage: Fields) -> None:
        cached = usage.get("cachedContentTokenCount") or 0
        self.estimated = False
        self.writer.usage = Usage(
            input_tokens=(usage.get("promptTokenCount") or 0) - cached,
            output_tokens=(usage.get("candidatesTokenCount") or 0) + (usage.get("thoughtsTokenCount") or 0),
            cache_read_input_tokens=cached,
        )
