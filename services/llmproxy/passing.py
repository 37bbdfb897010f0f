"""An answer in Anthropic's own events on its way through: watched just enough to end it well if it breaks."""

from collections.abc import Iterable

import orjson

from services.llmproxy.answers import Piece
from services.llmproxy.messages import AnswerError, error_event, refused
from services.llmproxy.sse import Event

BROKEN = "The provider's events are broken"


class Passing:
    """One streamed answer on its way through, watched just enough to end it well if it breaks."""

    def __init__(self, name: str, model: str) -> None:
        self._name = name
        self._model = model
        self._begun = False
        self._open_block: object = None
        self.ended = False

    def take(self, events: Iterable[Event]) -> list[Piece]:
        """Return what is told for the events of one chunk; what cannot be read ends the answer.

        Raises ``AnswerError`` for that when nothing was said before.
        """
        pieces: list[Piece] = []
        try:
            for event in events:
                with refused(502, BROKEN):
                    pieces.append(self._piece(event))
                if self.ended:
                    break
        except AnswerError as failure:  # of an event, or of the framing around it
            last = self.torn(failure)
            if not last:
                raise
            pieces += last
        return pieces

    def torn(self, error: AnswerError) -> list[Piece]:
        """Return the events that end an answer which broke off; nothing when nothing was said."""
        if not self._begun:
            return []
        self.ended = True
        pieces = [Piece("error", error_event(error))]
        if self._open_block is not None:
            stop = {"type": "content_block_stop", "index": self._open_block}
            pieces.insert(0, Piece("content_block_stop", orjson.dumps(stop)))
        return pieces

    def _piece(self, event: Event) -> Piece:
        name, data = event.name or _type_of(event.data), event.data
        match name:
            case "message_start":
                data = self._with_model(data)
            case "content_block_start":
                self._open_block = orjson.loads(data).get("index")
            case "content_block_stop":
                self._open_block = None
            case "message_stop" | "error":
                self.ended = True
        self._begun = True
        return Piece(name, data)

    def _with_model(self, data: bytes) -> bytes:
        fields = orjson.loads(data)
        message = fields["message"]
        message["model"] = f"{self._name}/{message.get('model') or self._model}"
        return orjson.dumps(fields)


def _type_of(data: bytes) -> str:
    return str(orjson.loads(data).get("type", ""))
