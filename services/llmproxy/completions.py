"""Chat Completions in front: OpenAI's clients asked and answered in their own words."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from services.llmproxy.answers import Piece
from services.llmproxy.events import parse_arguments
from services.llmproxy.messages import ERROR_TYPES, AnswerError, Request, new_id, text_of
from services.llmproxy.messages import parse as parse_messages

Fields = Mapping[str, Any]

FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
CHUNK = "chunk"
"""The name under which a chunk travels; it goes out without one."""
COMMENT = "comment"
"""The name under which a comment travels, which OpenAI's clients read over."""


def to_messages(fields: Fields) -> dict[str, Any]:
    """Translate a request; raises ``AnswerError`` for what Messages cannot say."""
    messages = fields.get("messages")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages) or not messages:
        raise AnswerError(400, "messages: a non-empty array of objects is required")
    if fields.get("n") not in (None, 1):
        raise AnswerError(400, "n: only 1 is supported")
    system, turns = _turns(messages)
    stop = fields.get("stop")
    wanted = {
        "model": fields.get("model"),
        "max_tokens": fields.get("max_completion_tokens") or fields.get("max_tokens"),
        "system": system or None,
        "messages": turns,
        "temperature": _at_most_one(fields.get("temperature")),
        "top_p": fields.get("top_p"),
        "stop_sequences": [stop] if isinstance(stop, str) else stop,
        "stream": fields.get("stream") or None,
        "metadata": {"user_id": str(fields["user"])} if fields.get("user") else None,
        "tools": [_tool(tool) for tool in fields.get("tools") or [] if tool.get("type") == "function"] or None,
        "output_config": _output(fields) or None,
    }
    translated = {name: value for name, value in wanted.items() if value is not None}
    if "tools" in translated and (choice := _choice(fields)):
        translated["tool_choice"] = choice
    return translated


def _at_most_one(temperature: object) -> object:
    """Bring a temperature of OpenAI's range, 0 to 2, into Anthropic's."""
    return min(temperature, 1) if isinstance(temperature, int | float) else temperature


def _turns(messages: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    leading: list[str] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = message.get("role")
        if role in ("system", "developer"):
            text = text_of(message.get("content"))
            if turns:
                turns.append({"role": "system", "content": text})
            else:
                leading.append(text)
            continue
        blocks = list(_blocks(message))
        ours = "assistant" if role == "assistant" else "user"
        if turns and turns[-1]["role"] == ours and isinstance(turns[-1]["content"], list):
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": ours, "content": blocks})
    return "\n\n".join(leading), turns


def _blocks(message: Fields) -> Iterator[dict[str, Any]]:
    content = message.get("content")
    if message.get("role") == "tool":
        yield {"type": "tool_result", "tool_use_id": str(message.get("tool_call_id")), "content": text_of(content)}
        return
    if isinstance(content, str):
        if content:
            yield {"type": "text", "text": content}
    else:
        for part in content or []:
            if isinstance(part, dict) and (block := _block(part)):
                yield block
    for call in message.get("tool_calls") or []:
        function = call.get("function") or {}
        arguments = parse_arguments(str(function.get("arguments") or ""))
        yield {"type": "tool_use", "id": str(call.get("id")), "name": str(function.get("name")), "input": arguments}


def _block(part: Fields) -> dict[str, Any] | None:
    match part.get("type"):
        case "text":
            return {"type": "text", "text": str(part.get("text") or "")}
        case "image_url":
            return {"type": "image", "source": _source(str((part.get("image_url") or {}).get("url") or ""))}
        case "file":
            file = part.get("file") or {}
            title = {"title": file["filename"]} if file.get("filename") else {}
            return {"type": "document", "source": _source(str(file.get("file_data") or "")), **title}
    return None


def _source(url: str) -> dict[str, Any]:
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    kind, _, data = url.removeprefix("data:").partition(",")
    return {"type": "base64", "media_type": kind.partition(";")[0], "data": data}


def _tool(tool: Fields) -> dict[str, Any]:
    function = tool.get("function") or {}
    description = {"description": function["description"]} if function.get("description") else {}
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return {"name": function.get("name"), **description, "input_schema": schema}


def _choice(fields: Fields) -> dict[str, Any] | None:
    choice = fields.get("tool_choice")
    word: dict[str, Any] | None = None
    if isinstance(choice, dict):
        word = {"type": "tool", "name": (choice.get("function") or {}).get("name")}
    elif choice in ("auto", "none", "required"):
        word = {"type": "any" if choice == "required" else choice}
    if fields.get("parallel_tool_calls") is False:
        word = {**(word or {"type": "auto"}), "disable_parallel_tool_use": True}
    return word


def _output(fields: Fields) -> dict[str, Any]:
    output: dict[str, Any] = {}
    if effort := fields.get("reasoning_effort"):
        output["effort"] = {"none": "low", "minimal": "low"}.get(effort, effort)
    if schema := ((fields.get("response_format") or {}).get("json_schema") or {}).get("schema"):
        output["format"] = {"type": "json_schema", "schema": schema}
    return output


class CompletionsForm:
    """One request of OpenAI's clients: read as Messages, told as chunks or a completion."""

    ping = Piece(COMMENT, b"ping")

    def __init__(self) -> None:
        self._id = f"chatcmpl-{new_id()[4:]}"
        self._created = int(time.time())
        self._model = ""
        self._usage: dict[str, int] = {}
        self._estimated = False
        self._include_usage = False
        self._calls: dict[int, int] = {}

    def parse(self, raw: bytes, headers: Mapping[str, str]) -> Request:
        """Read a request."""
        try:
            fields = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise AnswerError(400, f"The request body is not valid JSON: {error}") from None
        if not isinstance(fields, dict):
            raise AnswerError(400, "The request body must be a JSON object")
        options = fields.get("stream_options")
        self._include_usage = isinstance(options, dict) and options.get("include_usage") is True
        try:
            translated = to_messages(fields)
        except (AttributeError, TypeError, KeyError, ValueError):
            raise AnswerError(400, "The request is not one of Chat Completions") from None
        return parse_messages(orjson.dumps(translated), headers)

    def tell(self, piece: Piece) -> list[Piece]:
        """Return the chunks for one event; none has a name of its own."""
        telling = {
            "message_start": self._start,
            "content_block_start": self._block_start,
            "content_block_delta": self._delta,
            "message_delta": self._end,
            "message_stop": self._stop,
            "error": self._torn,
        }.get(piece.event)
        return telling(orjson.loads(piece.data)) if telling else []

    def whole(self, status: int, data: bytes) -> bytes:
        """Return a whole answer, or a provider's error, as OpenAI's clients read it."""
        body = orjson.loads(data)
        if status >= 400:
            error = body.get("error") or {}
            kind = str(error.get("type") or ERROR_TYPES.get(status, "api_error"))
            return _envelope(str(error.get("message")), kind, error.get("code"))
        self._model = str(body.get("model"))
        self._usage = body.get("usage") or {}
        blocks = body.get("content") or []
        thoughts = "".join(str(block.get("thinking") or "") for block in blocks if block.get("type") == "thinking")
        calls = [
            {
                "id": block["id"],
                "type": "function",
                "function": {"name": block["name"], "arguments": orjson.dumps(block.get("input") or {}).decode()},
            }
            for block in blocks
            if block.get("type") == "tool_use"
        ]
        message = {
            "role": "assistant",
            "content": "".join(block["text"] for block in blocks if block.get("type") == "text") or None,
            **({"reasoning_content": thoughts} if thoughts else {}),
            **({"tool_calls": calls} if calls else {}),
        }
        reason = FINISH_REASONS.get(str(body.get("stop_reason")), "stop")
        choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
        return orjson.dumps({**self._frame("chat.completion"), "choices": [choice], "usage": self._usage_fields()})

    def error(self, error: AnswerError, request_id: str) -> bytes:  # noqa: ARG002  it is in a header
        """Tell an error in OpenAI's envelope."""
        return _envelope(str(error), ERROR_TYPES.get(error.status, "api_error"), error.code or None)

    def _start(self, fields: Fields) -> list[Piece]:
        message = fields["message"]
        self._model = str(message.get("model"))
        self._usage = {**(message.get("usage") or {})}
        return [self._chunk({"role": "assistant", "content": ""})]

    def _block_start(self, fields: Fields) -> list[Piece]:
        block = fields["content_block"]
        if block.get("type") != "tool_use":
            return []
        call = self._calls.setdefault(fields["index"], len(self._calls))
        function = {"name": block["name"], "arguments": ""}
        announced = {"index": call, "id": block["id"], "type": "function", "function": function}
        return [self._chunk({"tool_calls": [announced]})]

    def _end(self, fields: Fields) -> list[Piece]:
        self._estimated = fields.get("usage_estimated") is True
        self._usage |= {key: value for key, value in (fields.get("usage") or {}).items() if value is not None}
        return [self._chunk({}, FINISH_REASONS.get(str(fields["delta"].get("stop_reason")), "stop"))]

    def _stop(self, fields: Fields) -> list[Piece]:  # noqa: ARG002  nothing in it
        usage = [self._usage_chunk()] if self._include_usage else []
        return [*usage, Piece(CHUNK, b"[DONE]")]

    def _torn(self, fields: Fields) -> list[Piece]:
        error = fields["error"]
        return [Piece(CHUNK, _envelope(str(error.get("message")), str(error.get("type"))))]

    def _delta(self, fields: Fields) -> list[Piece]:
        delta = fields["delta"]
        match delta.get("type"):
            case "text_delta":
                return [self._chunk({"content": delta["text"]})]
            case "thinking_delta":
                return [self._chunk({"reasoning_content": delta["thinking"]})]
            case "input_json_delta":
                call = {"index": self._calls.get(fields["index"], 0), "function": {"arguments": delta["partial_json"]}}
                return [self._chunk({"tool_calls": [call]})]
        return []

    def _chunk(self, delta: Fields, finish_reason: str | None = None) -> Piece:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return Piece(CHUNK, orjson.dumps({**self._frame("chat.completion.chunk"), "choices": [choice]}))

    def _usage_chunk(self) -> Piece:
        frame = self._frame("chat.completion.chunk")
        guessed = {"usage_estimated": True} if self._estimated else {}
        return Piece(CHUNK, orjson.dumps({**frame, "choices": [], "usage": self._usage_fields(), **guessed}))

    def _frame(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}

    def _usage_fields(self) -> dict[str, Any]:
        usage = self._usage
        cached = usage.get("cache_read_input_tokens") or 0
        prompt = (usage.get("input_tokens") or 0) + cached + (usage.get("cache_creation_input_tokens") or 0)
        output = usage.get("output_tokens") or 0
        return {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "prompt_tokens_details": {"cached_tokens": cached},
        }


class MessagesForm:
    """One request of Anthropic's clients, in whose words everything is told already."""

    ping = Piece("ping", b'{"type":"ping"}')

    def parse(self, raw: bytes, headers: Mapping[str, str]) -> Request:
        """Read a request."""
        return parse_messages(raw, headers)

    def tell(self, piece: Piece) -> list[Piece]:
        """Tell an event as it is."""
        return [piece]

    def whole(self, status: int, data: bytes) -> bytes:  # noqa: ARG002  the interface's
        """Tell a body as it is."""
        return data

    def error(self, error: AnswerError, request_id: str) -> bytes:
        """Tell an error in Anthropic's envelope."""
        return error.body(request_id)


def _envelope(message: str, kind: str, code: object = None) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})
