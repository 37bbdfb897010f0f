"""An answer told as Anthropic's events, whatever vendor it came from."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.llmproxy.answers import Piece
from services.llmproxy.messages import AnswerError, error_event, new_id
from services.llmproxy.tokens import Sample

SIGNATURE_TAG = "gw1:"
"""Begins the signature of every thinking block that is not Anthropic's, so that it can be told from theirs."""
_TOOL_ID = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(slots=True)
class Usage:
    """Tokens as Anthropic counts them: what came from a cache is not in ``input_tokens``."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0

    def fields(self) -> dict[str, int]:
        """Write the four numbers."""
        return {
            "input_tokens": max(0, self.input_tokens),
            "cache_creation_input_tokens": self.cache_creation_input_tokens,
            "cache_read_input_tokens": self.cache_read_input_tokens,
            "output_tokens": self.output_tokens,
        }


@dataclass(slots=True)
class _Said:
    """Text or a thought that waits for its turn, as deltas ready to be written."""

    kind: str
    deltas: list[bytes] = field(default_factory=list)
    block: Mapping[str, Any] | None = None
    """The block itself where it comes whole."""


@dataclass(slots=True)
class _Tool:
    """One call of a tool; it is written once its turn has come and its name is known."""

    id: str = ""
    name: str = ""
    told: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    begun: bool = False
    ended: bool = False

    @property
    def arguments(self) -> str:
        """Everything that came, told or waiting."""
        return "".join((*self.told, *self.waiting))

    def complete(self) -> bool:
        """Tell whether nothing more can come; ``{}`` may still be a placeholder for what comes later."""
        if self.ended:
            return True
        pieces = self.waiting or self.told
        return bool(pieces) and pieces[-1].rstrip().endswith("}") and _is_filled_object(self.arguments)


class Writer:
    """Turns what a vendor says into events: one block open at a time, indices from 0, never a word twice or lost.

    A block that was closed cannot be opened again, so whatever comes while a call still lacks arguments waits behind
    that call, in order. ``count_input`` is asked only where the vendor tells no usage.
    """

    def __init__(self, model: str, input_tokens: int) -> None:
        self.usage = Usage(input_tokens=input_tokens)
        self.said = Sample()
        self.count_input: Callable[[], int] = lambda: input_tokens
        self._model = model
        self._begun = False
        self._next = 0
        self._open = ""
        self._tools: dict[object, _Tool] = {}
        self._queue: deque[_Tool | _Said] = deque()

    @property
    def calls_tools(self) -> bool:
        """Whether a call was announced, told or waiting."""
        return any(tool.name for tool in self._tools.values())

    @property
    def begun(self) -> bool:
        """Whether anything was told."""
        return self._begun

    def start(self) -> list[Piece]:
        """Tell ``message_start``, once."""
        if self._begun:
            return []
        self._begun = True
        message: dict[str, object] = {
            "id": new_id(),
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self.usage.fields(),
        }
        return [Piece("message_start", orjson.dumps({"type": "message_start", "message": message}))]

    def text(self, text: str) -> list[Piece]:
        """Tell text; nothing opens a block for no text."""
        return self._say("text", b"text_delta", text)

    def thinking(self, text: str) -> list[Piece]:
        """Tell a thought."""
        return self._say("thinking", b"thinking_delta", text)

    def signature(self, signature: str) -> list[Piece]:
        """Sign the thought that is being told; a signature alone makes a block of its own."""
        return self._wait("thinking", orjson.dumps({"type": "signature_delta", "signature": signature}))

    def redacted(self, data: str) -> list[Piece]:
        """Tell a thought that the vendor hides; it comes whole."""
        self._queue.append(_Said("redacted_thinking", block={"type": "redacted_thinking", "data": data}))
        return self._advance()

    def tool(self, key: object, tool_id: str, name: str) -> list[Piece]:
        """Announce a call, or complete its announcement; ``key`` tells it from the others."""
        tool = self._tools.get(key)
        if tool is None:
            tool = self._tools[key] = _Tool()
            self._queue.append(tool)
        tool.id = tool.id or _TOOL_ID.sub("_", tool_id)
        tool.name = tool.name or name
        return self._advance()

    def arguments(self, key: object, text: str) -> list[Piece]:
        """Tell a piece of a call's arguments; raises ``AnswerError`` for one behind what was complete and closed."""
        tool = self._tools[key]
        if tool.ended:
            if text.strip() and text.strip() != tool.arguments.strip():  # some vendors end by saying all of it again
                raise AnswerError(502, "The provider went on with a finished call", code="provider_error")
            return []
        self.said.add(text)
        if text:
            tool.waiting.append(text)
        return self._advance()

    def end_tool(self) -> list[Piece]:
        """Close the call that is being told: nothing more of it will come."""
        if self._queue and isinstance(self._queue[0], _Tool):
            self._queue[0].ended = True
        return self._advance()

    def finish(self, stop_reason: str, stop_sequence: str | None = None, *, estimated: bool = False) -> list[Piece]:
        """Tell the end: everything that waits, then reason, usage, whether that was guessed, and ``message_stop``."""
        pieces = self.start() + self._advance(at_end=True) + self._close()
        if estimated:
            self.usage = Usage(self.count_input(), self.said.tokens(self._model))
        delta = {"stop_reason": stop_reason, "stop_sequence": stop_sequence}
        end: dict[str, object] = {"type": "message_delta", "delta": delta, "usage": self.usage.fields()}
        if estimated:
            end["usage_estimated"] = True
        pieces.append(Piece("message_delta", orjson.dumps(end)))
        pieces.append(Piece("message_stop", b'{"type":"message_stop"}'))
        return pieces

    def torn(self, error: AnswerError) -> list[Piece]:
        """Tell that the answer broke off; nothing when nothing was told."""
        return [*self._close(), Piece("error", error_event(error))] if self._begun else []

    def _say(self, kind: str, delta: bytes, text: str) -> list[Piece]:
        if not text:
            return []
        self.said.add(text)
        return self._wait(kind, b'{"type":"%s","%s":%s}' % (delta, kind.encode(), orjson.dumps(text)))

    def _wait(self, kind: str, delta: bytes) -> list[Piece]:
        """Queue a delta behind what waits already; usually nothing does and it is told at once."""
        last = self._queue[-1] if self._queue else None
        if isinstance(last, _Said) and last.kind == kind:
            last.deltas.append(delta)
        else:
            self._queue.append(_Said(kind, [delta]))
        return self._advance()

    def _advance(self, *, at_end: bool = False) -> list[Piece]:
        """Tell what has its turn; a call keeps it until it is complete or, finally, until nothing else can come."""
        pieces: list[Piece] = []
        while self._queue:
            first = self._queue[0]
            if isinstance(first, _Said):
                pieces += self._write(first)
            else:
                pieces += self._write_tool(first)
                wanted = at_end or len(self._queue) > 1
                if not (first.ended or (wanted and (at_end or first.complete()))):
                    break
                first.ended = True
                pieces += self._close() if first.begun else []
            self._queue.popleft()
        return pieces

    def _write(self, said: _Said) -> list[Piece]:
        pieces: list[Piece] = []
        if said.block or self._open != said.kind:
            block = said.block or {"type": "text", "text": ""}
            if said.kind == "thinking":
                block = {"type": "thinking", "thinking": "", "signature": ""}
            pieces += self._open_block(said.kind, block)
        return pieces + [self._delta(delta) for delta in said.deltas]

    def _write_tool(self, tool: _Tool) -> list[Piece]:
        if not tool.name:
            return []
        pieces: list[Piece] = []
        if not tool.begun:
            tool.begun = True
            block = {"type": "tool_use", "id": tool.id or f"toolu_{new_id()[4:]}", "name": tool.name, "input": {}}
            pieces += self._open_block("tool_use", block)
        for text in tool.waiting:
            pieces.append(self._delta(b'{"type":"input_json_delta","partial_json":%s}' % orjson.dumps(text)))
        tool.told += tool.waiting
        tool.waiting.clear()
        return pieces

    def _open_block(self, kind: str, block: Mapping[str, Any]) -> list[Piece]:
        pieces = self.start() + self._close()
        self._open = kind
        start = {"type": "content_block_start", "index": self._next, "content_block": block}
        return [*pieces, Piece("content_block_start", orjson.dumps(start))]

    def _delta(self, delta: bytes) -> Piece:
        return Piece(
            "content_block_delta", b'{"type":"content_block_delta","index":%d,"delta":%s}' % (self._next, delta)
        )

    def _close(self) -> list[Piece]:
        if not self._open:
            return []
        stop = Piece("content_block_stop", b'{"type":"content_block_stop","index":%d}' % self._next)
        self._open = ""
        self._next += 1
        return [stop]


def _is_filled_object(text: str) -> bool:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and bool(value)


def collect(pieces: Iterable[Piece]) -> bytes:
    """Put the events of one answer together into the body of a plain one."""
    message: dict[str, Any] = {}
    arguments: dict[int, str] = {}
    for piece in pieces:
        fields = orjson.loads(piece.data)
        match piece.event:
            case "message_start":
                message = fields["message"]
            case "content_block_start":
                message["content"].append(fields["content_block"])
            case "content_block_delta" if fields["delta"]["type"] == "input_json_delta":
                index = fields["index"]
                arguments[index] = arguments.get(index, "") + fields["delta"]["partial_json"]
            case "content_block_delta":
                kind = fields["delta"]["type"].removesuffix("_delta")
                block = message["content"][fields["index"]]
                block[kind] = block.get(kind, "") + fields["delta"].get(kind, "")
            case "message_delta":
                message |= fields["delta"]
                message["usage"] = fields["usage"]
            case "error":
                raise AnswerError(502, fields["error"]["message"], code="provider_error")
    for index, text in arguments.items():
        message["content"][index]["input"] = parse_arguments(text)
    return orjson.dumps(message)


def parse_arguments(text: str) -> dict[str, Any]:
    """Read a call's arguments; what is no JSON object is kept as it came."""
    if not text.strip():
        return {}
    for candidate in (text, text + "}", text + '"}'):
        try:
            value = orjson.loads(candidate)
        except orjson.JSONDecodeError:
            continue
        return value if isinstance(value, dict) else {"_raw": text}
    return {"_raw": text}


def is_foreign(block: Mapping[str, Any]) -> bool:
    """Tell whether a block is a thought that Anthropic never signed, which it would refuse."""
    marks = {"thinking": "signature", "redacted_thinking": "data"}
    mark = marks.get(str(block.get("type")))
    return mark is not None and str(block.get(mark) or "").startswith(SIGNATURE_TAG)
