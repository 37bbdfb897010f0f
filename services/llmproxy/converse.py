"""Anthropic's Messages translated to Bedrock's Converse and back."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, groupby
from typing import Any

import orjson

from services.llmproxy.answers import Piece
from services.llmproxy.chat import Fields, blocks_of, system_text
from services.llmproxy.events import SIGNATURE_TAG, Usage, Writer
from services.llmproxy.messages import DEFAULT_MAX_TOKENS, AnswerError, text_of
from services.llmproxy.trimming import BILLING_MARK

STOP_REASONS = {
    "guardrail_intervened": "refusal",
    "content_filtered": "refusal",
    **{same: same for same in ("end_turn", "tool_use", "max_tokens", "stop_sequence", "model_context_window_exceeded")},
}
FAILURES = frozenset({"malformed_model_output", "malformed_tool_use"})
IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
    "text/plain": "txt",
}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9()\[\]-]+")
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_.:-]")


def request(fields: Fields, model: str) -> dict[str, Any]:
    """Translate a whole request; what Converse does not know is left out."""
    nova = "nova" in model  # the one family besides Claude with a cache, with an error flag of results, and with topK
    translation = _Translation(caches=nova, flags_errors=nova)
    body: dict[str, Any] = {"messages": translation.messages(fields["messages"])}
    if system := translation.system(fields.get("system")):
        body["system"] = system
    if tools := _tools(fields):
        body["toolConfig"] = tools
    wanted = {
        "maxTokens": fields.get("max_tokens", DEFAULT_MAX_TOKENS),
        "temperature": fields.get("temperature"),
        "topP": fields.get("top_p"),
        "stopSequences": fields.get("stop_sequences") or None,
    }
    body["inferenceConfig"] = {name: value for name, value in wanted.items() if value is not None}
    if nova and fields.get("top_k") is not None:
        body["additionalModelRequestFields"] = {"inferenceConfig": {"topK": fields["top_k"]}}
    output = fields.get("output_config") or {}
    if schema := (output.get("format") or {}).get("schema"):
        text = {"name": "answer", "schema": orjson.dumps(schema).decode()}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": text}}}
    if user := (fields.get("metadata") or {}).get("user_id"):
        # Only a few characters are allowed there, and it names a device.
        body["requestMetadata"] = {"user_id": hashlib.sha256(str(user).encode()).hexdigest()}
    return body


def _tools(fields: Fields) -> dict[str, Any]:
    """Translate tools of the client's own; a conversation with calls in it must name their tools in any case."""
    custom = [tool for tool in fields.get("tools") or [] if tool.get("type") in (None, "custom")]
    called = {
        block["name"]: None
        for message in fields["messages"]
        for block in blocks_of(message["content"])
        if block.get("type") == "tool_use"
    }
    choice = fields.get("tool_choice") or {}
    if choice.get("type") == "none" and not called:
        return {}
    specifications = [_specification(tool) for tool in custom] or [_specification({"name": name}) for name in called]
    if not specifications:
        return {}
    config: dict[str, Any] = {"tools": specifications}
    match choice.get("type") if custom else None:
        case "auto" | "any" as word:
            config["toolChoice"] = {word: {}}
        case "tool":
            config["toolChoice"] = {"tool": {"name": choice.get("name")}}
    return config


def _specification(tool: Fields) -> dict[str, Any]:
    schema = tool.get("input_schema") or {"type": "object", "properties": {}}
    specification = {"name": tool["name"], "inputSchema": {"json": schema}}
    if tool.get("description"):
        specification["description"] = tool["description"]
    return {"toolSpec": specification}


class _Translation:
    """Translates what is said in one request."""

    def __init__(self, *, caches: bool, flags_errors: bool) -> None:
        self._caches = caches
        self._flags_errors = flags_errors
        self._documents = count(1)

    def system(self, system: object) -> list[dict[str, Any]]:
        """Translate the system text, without Claude Code's attribution line."""
        if not isinstance(system, list) or not self._caches:
            text = system_text(system)
            return [{"text": text}] if text else []
        said = [block for block in system if not str(block.get("text") or "").startswith(BILLING_MARK)]
        return list(self._content([block for block in said if block.get("type") == "text"]))

    def messages(self, messages: Sequence[Fields]) -> list[dict[str, Any]]:
        """Translate the turns; roles alternate, and no turn is empty."""
        turns: list[dict[str, Any]] = []
        for role, blocks in _turns(messages):
            content = list(self._content(blocks))
            if any("document" in block for block in content) and not any("text" in block for block in content):
                content.append({"text": "See the document."})  # a document alone is refused
            if content and turns and turns[-1]["role"] == role:  # what was between them was empty
                turns[-1]["content"] += content
            elif content:
                turns.append({"role": role, "content": content})
        return turns

    def _content(self, blocks: Sequence[Fields]) -> Iterator[dict[str, Any]]:
        for block in blocks:
            if (told := self._block(block)) is None:
                continue
            yield told
            if self._caches and block.get("cache_control"):
                yield {"cachePoint": {"type": "default"}}

    def _block(self, block: Fields) -> dict[str, Any] | None:
        """Translate one block; None for what has no counterpart."""
        told: dict[str, Any] | None = None
        match block.get("type"):
            case "text" if str(block.get("text") or "").strip():
                told = {"text": block["text"]}
            case "image":
                told = _image(block)
            case "document":
                told = self._document(block)
            case "search_result":
                told = {"text": f"{block.get('title', '')}\n{text_of(block.get('content'))}".strip() or "(no result)"}
            case "thinking" | "redacted_thinking":
                told = _thought(block)
            case "tool_use":
                call = {"toolUseId": _id(block["id"]), "name": block["name"], "input": block.get("input") or {}}
                told = {"toolUse": call}
            case "tool_result":
                told = self._result(block)
        return told

    def _result(self, block: Fields) -> dict[str, Any]:
        content = list(self._content(blocks_of(block.get("content") or ""))) or [{"text": "(no output)"}]
        result: dict[str, Any] = {"toolUseId": _id(block["tool_use_id"]), "content": content}
        if block.get("is_error") and self._flags_errors:
            result["status"] = "error"
        elif block.get("is_error"):
            content.insert(0, {"text": "[error]"})
        return {"toolResult": {**result, "content": [one for one in content if "cachePoint" not in one]}}

    def _document(self, block: Fields) -> dict[str, Any]:
        source = block.get("source") or {}
        match source.get("type"):
            case "text":
                return {"text": source.get("data") or "(empty document)"}
            case "content":
                return {"text": text_of(source.get("content")) or "(empty document)"}
            case "base64":
                kind = str(source.get("media_type"))
                if kind not in DOCUMENTS:
                    raise AnswerError(400, f"document: Bedrock takes no {kind}")
                # Names are limited to these characters, and no two may be the same.
                title = _NOT_IN_NAMES.sub(" ", str(block.get("title") or "document"))[:100].strip()
                name = f"{title} {next(self._documents)}".strip()
                return {"document": {"format": DOCUMENTS[kind], "name": name, "source": {"bytes": source.get("data")}}}
        raise AnswerError(400, "document: Bedrock takes documents in the request only, not by address")


def _turns(messages: Sequence[Fields]) -> Iterator[tuple[str, list[Fields]]]:
    """Yield what each side said before the other one spoke, results of tools first, right behind their calls."""
    for role, said in groupby(messages, lambda message: "assistant" if message["role"] == "assistant" else "user"):
        blocks: list[Fields] = []
        for message in said:
            if message["role"] == "system":
                blocks.append({"type": "text", "text": f"<system>\n{text_of(message['content'])}\n</system>"})
            else:
                blocks += blocks_of(message["content"])
        if role == "user":
            blocks.sort(key=lambda block: block.get("type") != "tool_result")
        yield role, blocks


def _image(block: Fields) -> dict[str, Any]:
    source = block.get("source") or {}
    if source.get("type") != "base64":
        raise AnswerError(400, "image: Bedrock takes images in the request only, not by address")
    kind = str(source.get("media_type"))
    if kind not in IMAGES:
        raise AnswerError(400, f"image: Bedrock takes no {kind}")
    return {"image": {"format": IMAGES[kind], "source": {"bytes": source.get("data")}}}


def _thought(block: Fields) -> dict[str, Any] | None:
    """Send a thought back with the signature that Bedrock gave it; without one it is nothing to Bedrock."""
    hidden = block.get("type") == "redacted_thinking"
    mark = str(block.get("data" if hidden else "signature") or "")
    signature = mark.removeprefix(SIGNATURE_TAG).partition(":")[2] if mark.startswith(SIGNATURE_TAG) else ""
    if not signature:
        return None
    if hidden:
        return {"reasoningContent": {"redactedContent": signature}}
    return {"reasoningContent": {"reasoningText": {"text": block.get("thinking") or "", "signature": signature}}}


def _id(tool_id: object) -> str:
    return _NOT_IN_IDS.sub("_", str(tool_id))[:64]


class Answer:
    """Translates the events of one ConverseStream, each as ``{name: fields}``, or the body of a Converse."""

    def __init__(self, provider: str, model: str, input_tokens: int) -> None:
        self.writer = Writer(f"{provider}/{model}", input_tokens)
        self.estimated = True
        self._tag = f"{SIGNATURE_TAG}{provider}:"
        self._stop_reason = ""
        self._signature: str | None = None

    def take(self, chunk: Fields) -> list[Piece]:
        """Return the events for one of the vendor's, or for a whole body."""
        return self.writer.start() + [piece for name, fields in chunk.items() for piece in self._event(name, fields)]

    def _event(self, name: str, fields: Any) -> list[Piece]:  # noqa: ANN401  any JSON
        pieces: list[Piece] = []
        match name:
            case "output":
                for index, block in enumerate(fields["message"].get("content") or []):
                    pieces += self._whole_block(index, block)
            case "contentBlockStart":
                pieces = self._start(fields.get("contentBlockIndex"), fields.get("start") or {})
            case "contentBlockDelta":
                pieces = self._delta(fields.get("contentBlockIndex"), fields.get("delta") or {})
            case "contentBlockStop":
                pieces = self._end_block()
            case "messageStop":
                self._stop_reason = str(fields.get("stopReason") or "end_turn")
            case "stopReason":
                self._stop_reason = str(fields)
            case "metadata":
                self._count(fields.get("usage"))
            case "usage":
                self._count(fields)
        return pieces

    def finish(self) -> list[Piece]:
        """Return the last events; raises ``AnswerError`` when the vendor never told the end."""
        if not self._stop_reason:
            raise AnswerError(502, "The provider ended its answer early", code="provider_error")
        if self._stop_reason in FAILURES:
            raise AnswerError(502, f"The provider ended with {self._stop_reason}", code="provider_error")
        reason = STOP_REASONS.get(self._stop_reason, "end_turn")
        if reason == "end_turn" and self.writer.calls_tools:
            reason = "tool_use"
        return self._end_block() + self.writer.finish(reason, estimated=self.estimated)

    def _start(self, index: object, start: Fields) -> list[Piece]:
        call = start.get("toolUse")
        return self.writer.tool(index, str(call.get("toolUseId") or ""), str(call.get("name") or "")) if call else []

    def _delta(self, index: object, delta: Fields) -> list[Piece]:
        if (text := delta.get("text")) is not None:
            return self._end_thought() + self.writer.text(text)
        if call := delta.get("toolUse"):
            return self.writer.arguments(index, call.get("input") or "")
        thought = delta.get("reasoningContent") or {}
        if hidden := thought.get("redactedContent"):
            return self._end_thought() + self.writer.redacted(self._tag + hidden)
        if text := thought.get("text"):
            self._signature = self._signature or ""
            return self.writer.thinking(text)
        if signature := thought.get("signature"):
            self._signature = (self._signature or "") + signature
        return []

    def _whole_block(self, index: object, block: Fields) -> list[Piece]:
        if call := block.get("toolUse"):
            pieces = self._start(index, block)
            pieces += self.writer.arguments(index, orjson.dumps(call.get("input") or {}).decode())
        elif thought := block.get("reasoningContent"):
            told = thought.get("reasoningText") or thought
            pieces = [
                piece for key, value in told.items() for piece in self._delta(index, {"reasoningContent": {key: value}})
            ]
        else:
            pieces = self._delta(index, block)
        return pieces + self._end_block()

    def _end_block(self) -> list[Piece]:
        return self._end_thought() + self.writer.end_tool()

    def _end_thought(self) -> list[Piece]:
        """Sign the open thought with all that came of its signature."""
        if self._signature is None:
            return []
        signature, self._signature = self._signature, None
        return self.writer.signature(self._tag + signature)

    def _count(self, usage: Mapping[str, Any] | None) -> None:
        if not usage:
            return
        self.estimated = False
        self.writer.usage = Usage(
            input_tokens=usage.get("inputTokens") or 0,
            output_tokens=usage.get("outputTokens") or 0,
            cache_read_input_tokens=usage.get("cacheReadInputTokens") or 0,
            cache_creation_input_tokens=usage.get("cacheWriteInputTokens") or 0,
        )
