"""What one request spends, read off its answer while that passes."""

from time import monotonic, time

from services.llmproxy.answers import Head, Pieces
from services.llmproxy.attempts import Attempts
from services.llmproxy.messages import text_of_delta, usage_of
from services.llmproxy.tokens import count_text
from services.llmproxy.usage import MOST_NAME_CHARACTERS, Record, Tokens

LAST_EVENTS = ("", "message_stop", "error")
MOST_KEPT = 64
"""Deltas kept of an answer, to guess its tokens by them should it break off."""


class Meter:
    """Times one request and reads the provider's counts; guesses the output of an answer that ended before they came.

    ``outcome`` is whatever the request has come to so far.
    """

    def __init__(self, client: str) -> None:
        self.asked_model = ""
        self.outcome = "cancelled"
        self.first_byte_seconds = 0.0
        self._client = client
        self._started = monotonic()
        self._model = ""
        self._begun = False
        self._whole = False
        self._usage: dict[str, int] = {}
        self._deltas: list[bytes] = []
        self._said = 0
        self._counted = False
        self._guessed = False

    def begin(self, head: Head) -> None:
        """Note how an answer begins."""
        self._begun = True
        self.first_byte_seconds = monotonic() - self._started
        self.outcome = "ok" if head.status < 400 else f"{head.status}"
        self._model = head.model
        self._guessed = "x-usage-estimated" in head.headers

    def take(self, pieces: Pieces) -> None:
        """Read what came at once."""
        for piece in pieces:
            if piece.event == "content_block_delta":
                self._said += 1
                if self._said <= MOST_KEPT:
                    self._deltas.append(piece.data)
            elif usage := usage_of(piece.event, piece.data):
                self._usage |= usage
                self._counted = piece.event != "message_start"
                self._guessed |= b'"usage_estimated":true' in piece.data
        if pieces[-1].event == "error":
            self.outcome = "torn"
        self._whole = pieces[-1].event in LAST_EVENTS

    def left(self) -> None:
        """Note that the client is gone: nothing is cut short for one who was told everything, and hangs up for that."""
        if not self._whole:
            self.outcome = "cancelled"

    def end(self, attempts: Attempts | None) -> Record:
        """Write down what it came to; who left early has spent what was written for him."""
        unfinished = self._said > 0 and not self._counted
        output = self._usage.get("output_tokens", 0)
        if unfinished:
            output = max(output, self._guess())
        return Record(
            ended_at=time(),
            client=self._client,
            provider=attempts.entry.configured.name if attempts else "",
            asked_model=self.asked_model[:MOST_NAME_CHARACTERS],
            model=(self._model or (attempts.model if attempts else ""))[:MOST_NAME_CHARACTERS],
            outcome=self.outcome,
            tokens=Tokens.of({**self._usage, "output_tokens": output}),
            seconds=monotonic() - self._started,
            first_byte_seconds=self.first_byte_seconds if self._begun else None,
            retries=attempts.retries if attempts else 0,
            fallbacks=attempts.fallbacks if attempts else 0,
            estimated=self._guessed or unfinished,
        )

    def _guess(self) -> int:
        """Guess the tokens of what was said by the first pieces of it."""
        text = "".join(map(text_of_delta, self._deltas))
        return round(count_text(text, self._model) * self._said / len(self._deltas))
