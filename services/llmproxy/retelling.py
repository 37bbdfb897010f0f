"""The engine's own Messages events retold as Anthropic tells them."""

from typing import Any

import orjson

from services.llmproxy.answers import Piece
from services.llmproxy.messages import AnswerError, error_event, new_id
from services.llmproxy.sse import Event


class Retelling:
    """One streamed answer: our id, model name and token counts, and every event that belongs to it.

    The engine leaves out ``message_start`` and the block's start when its first tokens are half a character, and
    calls a stop sequence the end of a turn.
    """

    def __init__(self, model: str, input_tokens: int) -> None:
        self._model = model
        self._input_tokens = input_tokens
        self._begun = False
        self._open: set[int] = set()
        self.ended = False

    def take(self, event: Event) -> list[Piece]:
        """Return the events to tell for one event of the engine."""
        pieces = [] if self._begun else [self._start()]
        fields = orjson.loads(event.data)
        match event.name:
            case "content_block_start":
                pieces += self._open_block(fields["index"], fields["content_block"])
            case "content_block_delta":
                kind = str(fields["delta"]["type"]).removesuffix("_delta")
                pieces += self._open_block(fields["index"], {"type": kind, kind: ""})
                pieces.append(Piece(event.name, event.data))
            case "content_block_stop":
                if fields["index"] in self._open:
                    pieces.append(Piece(event.name, event.data))
            case "message_delta":
                pieces.append(self._delta(fields))
            case "message_stop":
                self.ended = True
                pieces.append(Piece(event.name, b'{"type":"message_stop"}'))
            case "error":
                raise AnswerError(502, "The embedded model failed", code="provider_error")
        return pieces

    def torn(self, error: AnswerError) -> list[Piece]:
        """Return the events that end an answer which failed half way; nothing is said when nothing was."""
        return [Piece("error", error_event(error))] if self._begun else []

    def _start(self) -> Piece:
        self._begun = True
        message: dict[str, object] = {
            "id": new_id(),
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self._usage(0),
        }
        return Piece("message_start", orjson.dumps({"type": "message_start", "message": message}))

    def _open_block(self, index: int, block: dict[str, Any]) -> list[Piece]:
        if index in self._open:
            return []
        self._open.add(index)
        start = {"type": "content_block_start", "index": index, "content_block": block}
        return [Piece("content_block_start", orjson.dumps(start))]

    def _delta(self, fields: dict[str, Any]) -> Piece:
        stopped_by = fields["delta"].get("stop_sequence")
        reason = fields["delta"].get("stop_reason") if stopped_by is None else "stop_sequence"
        delta = {"stop_reason": reason, "stop_sequence": stopped_by}
        told = {"type": "message_delta", "delta": delta, "usage": self._usage(fields["usage"]["output_tokens"])}
        return Piece("message_delta", orjson.dumps(told))

    def _usage(self, output_tokens: int) -> dict[str, int]:
        return {
            "input_tokens": self._input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output_tokens,
        }
