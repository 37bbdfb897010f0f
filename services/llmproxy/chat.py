"""Anthropic's Messages translated to Chat Completions and back."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from services.llmproxy.answers import Piece
from services.llmproxy.dialects import Dialect
from services.llmproxy.events import SIGNATURE_TAG, Usage, Writer
from services.llmproxy.messages import DEFAULT_MAX_TOKENS, AnswerError, redact, text_of
from services.llmproxy.trimming import BILLING_MARK

Fields = Mapping[str, Any]

STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
CHARACTERS_PER_TOKEN = 4


def request(fields: Fields, model: str, dialect: Dialect) -> dict[str, Any]:
    """Translate a whole request; what the vendor does not know is left out."""
    thinks = dialect.thinks(model)
    body: dict[str, Any] = {"model": model, "messages": _messages(fields, dialect, thinks=thinks)}
    most = fields.get("max_tokens", DEFAULT_MAX_TOKENS)
    if dialect.most_tokens and isinstance(most, int):
        most = min(most, dialect.most_tokens)
    body["max_completion_tokens" if thinks else "max_tokens"] = most
    if not thinks:
        body |= {name: fields[name] for name in ("temperature", "top_p") if fields.get(name) is not None}
    if dialect.top_k and fields.get("top_k") is not None:
        body["top_k"] = fields["top_k"]
    if stops := fields.get("stop_sequences"):
        body["stop"] = stops[: dialect.stops]
    body |= _tools(fields, dialect) | _effort(fields, dialect, thinks=thinks)
    output = fields.get("output_config") or {}
    if schema := (output.get("format") or {}).get("schema"):
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    if dialect.safety_identifier and (user := (fields.get("metadata") or {}).get("user_id")):
        body["safety_identifier"] = hashlib.sha256(str(user).encode()).hexdigest()
    if fields.get("stream"):
        body["stream"] = True
        if dialect.stream_options:
            body["stream_options"] = {"include_usage": True}
    return body


def _tools(fields: Fields, dialect: Dialect) -> dict[str, Any]:
    """Translate tools of the client's own; the provider's server tools have no counterpart."""
    custom = [tool for tool in fields.get("tools") or [] if tool.get("type") in (None, "custom")]
    if not custom:
        return {}
    functions = [
        {
            "name": tool["name"],
            **({"description": tool["description"]} if tool.get("description") else {}),
            "parameters": tool.get("input_schema") or {"type": "object", "properties": {}},
            **({"strict": tool["strict"]} if "strict" in tool else {}),
        }
        for tool in custom
    ]
    body: dict[str, Any] = {"tools": [{"type": "function", "function": function} for function in functions]}
    choice = fields.get("tool_choice") or {}
    match choice.get("type"):
        case "auto" | "none" as word:
            body["tool_choice"] = word
        case "any":
            body["tool_choice"] = dialect.required
        case "tool":
            body["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    if choice.get("disable_parallel_tool_use"):
        body["parallel_tool_calls"] = False
    return body


def _effort(fields: Fields, dialect: Dialect, *, thinks: bool) -> dict[str, Any]:
    effort = (fields.get("output_config") or {}).get("effort")
    thinking = fields.get("thinking")
    if not effort and isinstance(thinking, dict) and thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens") or 0
        effort = "low" if budget < 4096 else "medium" if budget < 16384 else "high"
    if not effort or not dialect.effort:
        return {}
    if dialect.effort == "reasoning":
        return {"reasoning": {"effort": effort}} if isinstance(thinking, dict) else {}
    return {dialect.effort: effort} if thinks else {}


def _messages(fields: Fields, dialect: Dialect, *, thinks: bool) -> list[dict[str, Any]]:
    system_role = "developer" if thinks else "system"
    messages: list[dict[str, Any]] = []
    if system := system_text(fields.get("system")):
        messages.append({"role": system_role, "content": system})
    for message in fields["messages"]:
        if message["role"] == "assistant":
            messages.append(_assistant(blocks_of(message["content"]), dialect))
        elif message["role"] == "system":
            text = text_of(message["content"])
            role = system_role if dialect.system_anywhere else "user"
            messages.append(
                {"role": role, "content": text if dialect.system_anywhere else f"<system>\n{text}\n</system>"}
            )
        else:
            messages += _user(blocks_of(message["content"]), dialect)
    messages = _results_first(message for message in messages if message.get("content") or message.get("tool_calls"))
    return _merged(messages) if dialect.alternating or not dialect.system_anywhere else messages


def _results_first(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put results of tools right behind their calls, whatever the client said between."""
    ordered: list[dict[str, Any]] = []
    since_answer = 0
    for message in messages:
        if message["role"] == "tool":
            ordered.insert(since_answer, message)
            since_answer += 1
            continue
        ordered.append(message)
        if message["role"] == "assistant":
            since_answer = len(ordered)
    return ordered


def system_text(system: object) -> str:
    """Join the system text, without Claude Code's attribution line, which would defeat the vendor's cache."""
    if isinstance(system, list):
        system = [block for block in system if not str(block.get("text") or "").startswith(BILLING_MARK)]
    return text_of(system)


def blocks_of(content: str | Sequence[Fields]) -> Sequence[Fields]:
    """Return content as blocks, whichever way it was written."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _assistant(blocks: Sequence[Fields], dialect: Dialect) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text_of(blocks) or None}
    calls = [
        {
            "id": dialect.tool_id(block["id"]),
            "type": "function",
            "function": {"name": block["name"], "arguments": orjson.dumps(block.get("input") or {}).decode()},
        }
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    if calls:
        message["tool_calls"] = calls
    thoughts = "".join(block.get("thinking") or "" for block in blocks if block.get("type") == "thinking")
    if dialect.reasoning_back and thoughts:
        message[dialect.reasoning_back] = thoughts
    return message


def _user(blocks: Sequence[Fields], dialect: Dialect) -> Iterator[dict[str, Any]]:
    """Yield results of tools first, right behind the calls, then what else was said."""
    rest: list[dict[str, Any]] = []
    for block in blocks:
        if block.get("type") != "tool_result":
            continue
        content = blocks_of(block.get("content") or "")
        images = [_image(one, dialect) for one in content if one.get("type") == "image"]
        text = text_of(content) or ("(see the image below)" if images else "(no output)")
        yield {
            "role": "tool",
            "tool_call_id": dialect.tool_id(block["tool_use_id"]),
            "content": f"[error] {text}" if block.get("is_error") else text,
        }
        rest += images
    rest += [part for part in (_part(block, dialect) for block in blocks) if part]
    if all(part["type"] == "text" for part in rest):
        yield {"role": "user", "content": "\n\n".join(part["text"] for part in rest)}
    else:
        yield {"role": "user", "content": rest}


def _part(block: Fields, dialect: Dialect) -> dict[str, Any] | None:
    match block.get("type"):
        case "text":
            return {"type": "text", "text": block["text"]} if block.get("text") else None
        case "image":
            return _image(block, dialect)
        case "document":
            return _document(block)
        case "search_result":
            return {"type": "text", "text": f"{block.get('title', '')}\n{text_of(block.get('content'))}".strip()}
    return None


def _image(block: Fields, dialect: Dialect) -> dict[str, Any]:
    if not dialect.images:
        return {"type": "text", "text": "[image left out: the model takes none]"}
    source = block.get("source") or {}
    data = f"data:{source.get('media_type')};base64,{source.get('data')}"
    return {"type": "image_url", "image_url": {"url": source["url"] if source.get("type") == "url" else data}}


def _document(block: Fields) -> dict[str, Any]:
    source = block.get("source") or {}
    match source.get("type"):
        case "text":
            return {"type": "text", "text": source.get("data") or ""}
        case "content":
            return {"type": "text", "text": text_of(source.get("content"))}
        case "base64":
            data = f"data:{source.get('media_type')};base64,{source.get('data')}"
            return {"type": "file", "file": {"filename": block.get("title") or "document.pdf", "file_data": data}}
    return {"type": "text", "text": f"[document: {source.get('url') or block.get('title') or 'left out'}]"}


def _merged(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join neighbours of one role, which some vendors insist on."""
    merged: list[dict[str, Any]] = []
    for message in messages:
        last = merged[-1] if merged else {}
        if last.get("role") == message["role"] in ("user", "assistant") and "tool_calls" not in last:
            merged[-1] = {**last, **message, "content": _joined(last["content"], message["content"])}
        else:
            merged.append(message)
    return merged


def _joined(before: Any, after: Any) -> Any:  # noqa: ANN401  text or parts
    if not before or not after:
        return before or after
    if isinstance(before, str) and isinstance(after, str):
        return f"{before}\n\n{after}"
    parts = [[{"type": "text", "text": one}] if isinstance(one, str) else one for one in (before, after)]
    return parts[0] + parts[1]


class Answer:
    """Translates the chunks of one streamed completion, or a whole one as a single chunk."""

    def __init__(self, provider: str, model: str, input_tokens: int, stops: Sequence[str] = ()) -> None:
        self.writer = Writer(f"{provider}/{model}", input_tokens)
        self.estimated = True
        self._tag = f"{SIGNATURE_TAG}{provider}:"
        self._stops = stops
        self._finish_reason = ""
        self._stop_sequence: str | None = None
        self._refused = False
        self._thinking = False
        self._calls: dict[object, str] = {}
        self._last: object = None

    def take(self, chunk: Fields) -> list[Piece]:
        """Return the events for one chunk; raises ``AnswerError`` when the vendor says that it failed."""
        if error := chunk.get("error"):
            raise failure(error, 502)
        if usage := chunk.get("usage"):
            self._count(usage)
        pieces = [] if self.writer.begun else self.writer.start()
        for choice in chunk.get("choices") or []:
            if choice.get("index") in (0, None):
                pieces += self._choice(choice)
        return pieces

    def finish(self) -> list[Piece]:
        """Return the last events; everything that may come late has come."""
        if self._finish_reason == "error":
            raise AnswerError(502, "The provider failed in the middle of its answer", code="provider_error")
        pieces = self._end_thought()
        reason = "tool_use" if self.writer.calls_tools else STOP_REASONS.get(self._finish_reason, "end_turn")
        if self._refused:
            reason = "refusal"
        elif reason == "end_turn" and self._stop_sequence is not None:
            reason = "stop_sequence"
        stop_sequence = self._stop_sequence if reason == "stop_sequence" else None
        return pieces + self.writer.finish(reason, stop_sequence, estimated=self.estimated)

    def _choice(self, choice: Fields) -> list[Piece]:
        delta = choice.get("delta") or choice.get("message") or {}
        pieces: list[Piece] = []
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            self._thinking = True
            pieces += self.writer.thinking(str(thought))
        for text in _texts(delta.get("content")):
            pieces += self._end_thought() + self.writer.text(text)
        if refusal := delta.get("refusal"):
            self._refused = True
            pieces += self._end_thought() + self.writer.text(str(refusal))
        for call in delta.get("tool_calls") or []:
            pieces += self._end_thought() + self._call(call)
        if function := delta.get("function_call"):
            pieces += self._end_thought() + self._call({"index": 0, "function": function})
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        if choice.get("stop_reason") in self._stops:  # some engines say which one
            self._stop_sequence = choice["stop_reason"]
        return pieces

    def _end_thought(self) -> list[Piece]:
        if not self._thinking:
            return []
        self._thinking = False
        return self.writer.signature(self._tag)

    def _call(self, call: Fields) -> list[Piece]:
        function = call.get("function") or {}
        key = self._key(call.get("index"), str(call.get("id") or ""))
        pieces = self.writer.tool(key, str(call.get("id") or ""), str(function.get("name") or ""))
        arguments = function.get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            arguments = orjson.dumps(arguments).decode()
        return pieces + self.writer.arguments(key, arguments or "")

    def _key(self, index: object, call_id: str) -> object:
        """Tell which call a piece belongs to: vendors repeat ids, leave them out, or use one index for all."""
        if index is None:
            key: object = call_id or self._last
            key = len(self._calls) if key is None else key
        else:
            known = self._calls.get(index)
            if known and call_id and known != call_id:
                key = (index, call_id)
                self._calls[index] = call_id
            elif known and (index, known) in self._calls:
                key = (index, known)
            else:
                key = index
        self._calls[key] = call_id or self._calls.get(key, "")
        self._last = key
        return key

    def _count(self, usage: Fields) -> None:
        details = usage.get("prompt_tokens_details") or {}
        cached = details.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0
        self.estimated = False
        self.writer.usage = Usage(
            input_tokens=(usage.get("prompt_tokens") or 0) - cached,
            output_tokens=usage.get("completion_tokens") or 0,
            cache_read_input_tokens=cached,
            cache_creation_input_tokens=details.get("cache_write_tokens") or 0,
        )


def _texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part["text"]


def failure(error: object, status: int) -> AnswerError:
    """Turn a vendor's error into ours: its words, without what looks like a secret."""
    fields = error if isinstance(error, dict) else {"message": error}
    code = fields.get("code")
    if isinstance(code, int) and 400 <= code < 600:
        status = code
    message = redact(str(fields.get("message") or "The provider failed"))[:1000]
    return AnswerError(status, message, code="provider_error")
