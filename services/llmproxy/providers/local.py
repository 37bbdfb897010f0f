"""The embedded model as a provider: trims what it cannot take, queues what it cannot run at once."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from services.llmproxy.answers import Answer, Call, Head, Piece, Resources
from services.llmproxy.condition import Condition
from services.llmproxy.configuration import ProviderConfiguration
from services.llmproxy.embedded import Engine, unavailable
from services.llmproxy.messages import DEFAULT_MAX_TOKENS, AnswerError, error_event, new_id
from services.llmproxy.sse import Event
from services.llmproxy.trimming import PROMPT_TOKENS, Prompt, fit

TRIMMED_HEADER = "x-pulsegate-trimmed"
RETRY_AFTER_SECONDS = 10
MARGIN_TOKENS = 16
PASSED = ("temperature", "top_p", "top_k", "stop_sequences")

log = logging.getLogger(__name__)


class LocalProvider:
    """Answers with the model inside this distribution, whatever model was asked for."""

    credential = True

    def __init__(self, configured: ProviderConfiguration, resources: Resources, condition: Condition) -> None:
        settings = resources.engine
        self.name = configured.name
        self.model = model_name(settings.model)
        self.own_models = (self.model,)
        self._settings = settings
        self._engine = Engine(settings, self._engine_told)
        self._condition = condition
        self._slots = asyncio.Semaphore(settings.slots)
        self._queue_limit = resources.queue_limit
        self._waiting = 0
        self._reason = unavailable(settings.model)
        if self._reason:
            condition.unwell(self._reason)

    async def stream(self, call: Call) -> Answer:
        """Answer one call by a real model, in its own words, streamed or whole."""
        self._require_available()
        async with self._slot():
            await self._engine.ready()
            prompt, tokens = await self._fit(call)
            asked = self._ask(call, prompt, tokens)
            headers = {TRIMMED_HEADER: ", ".join(sorted(prompt.trimmed))} if prompt.trimmed else {}
            if prompt.trimmed:
                log.info("request trimmed", extra={"trimmed": sorted(prompt.trimmed), "input_tokens": tokens})
            async with aclosing(self._engine.stream(asked)) as events, aclosing(self._pieces(events, tokens)) as pieces:
                if call.request.stream:
                    first = await anext(pieces)
                    yield Head(200, self.model, headers)
                    yield first
                    async for piece in pieces:
                        yield piece
                else:
                    body = await _collect(pieces)
                    yield Head(200, self.model, headers)
                    yield Piece("", body)

    async def count_tokens(self, call: Call) -> int:
        """Count what a request would cost this model, trimmed as it would be."""
        self._require_available()
        await self._engine.ready()
        return (await self._fit(call))[1]

    async def check(self) -> None:
        """Say why the model cannot run here; a child that died is started by the next request."""
        self._require_available()

    async def close(self) -> None:
        """End the child process."""
        await self._engine.close()

    def _require_available(self) -> None:
        if self._reason:
            raise AnswerError(503, self._reason[0].upper() + self._reason[1:], code="provider_unavailable")

    @asynccontextmanager
    async def _slot(self) -> AsyncGenerator[None, None]:
        if self._slots.locked() and self._waiting >= self._queue_limit:
            raise AnswerError(
                503,
                f"The embedded model is busy and {self._waiting} requests are waiting",
                code="provider_unavailable",
                headers={"retry-after": str(RETRY_AFTER_SECONDS)},
            )
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    async def _fit(self, call: Call) -> tuple[Prompt, int]:
        """Trim by a guess, then by the model's own count."""
        limit = min(PROMPT_TOKENS, self._settings.slot_context * 3 // 4)
        prompt = fit(call.request.fields, limit)
        tokens = await self._engine.count(_fields(prompt))
        while tokens > limit and any(turn.text for turn in prompt.turns):
            prompt = prompt.cut()
            tokens = await self._engine.count(_fields(prompt))
        return prompt, tokens

    def _ask(self, call: Call, prompt: Prompt, tokens: int) -> dict[str, Any]:
        fields = {**call.parameters, **call.request.fields}
        wanted = fields.get("max_tokens", DEFAULT_MAX_TOKENS)
        if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
            raise AnswerError(400, "max_tokens: must be a positive integer")
        room = self._settings.slot_context - tokens - MARGIN_TOKENS
        passed = {name: fields[name] for name in PASSED if fields.get(name) is not None}
        return {**_fields(prompt), **passed, "max_tokens": max(1, min(wanted, room)), "stream": True}

    async def _pieces(self, events: AsyncGenerator[Event, None], tokens: int) -> AsyncGenerator[Piece, None]:
        """Put our names and counts on the engine's events; a failure after the first is the last one."""
        begun = False
        try:
            async for event in events:
                begun = True
                yield Piece(event.name, self._in_our_words(event, tokens))
                if event.name == "message_stop":
                    return
            raise AnswerError(502, "The embedded model ended its answer early", code="provider_error")
        except AnswerError as error:
            if not begun:
                raise
            yield Piece("error", error_event(error))

    def _in_our_words(self, event: Event, tokens: int) -> bytes:
        if event.name == "message_start":
            message = self._message([], None, None, tokens, 0)
            return orjson.dumps({"type": "message_start", "message": message})
        if event.name == "message_delta":
            told = orjson.loads(event.data)
            stopped_by = told["delta"].get("stop_sequence")
            reason = "stop_sequence" if stopped_by is not None else told["delta"].get("stop_reason")
            delta = {"stop_reason": reason, "stop_sequence": stopped_by}
            usage = _usage(tokens, told["usage"]["output_tokens"])
            return orjson.dumps({"type": "message_delta", "delta": delta, "usage": usage})
        if event.name == "error":
            return error_event(AnswerError(502, "The embedded model failed"))
        return event.data

    def _message(
        self, content: list[object], reason: str | None, stopped_by: str | None, tokens: int, output: int
    ) -> dict[str, object]:
        return {
            "id": new_id(),
            "type": "message",
            "role": "assistant",
            "model": f"{self.name}/{self.model}",
            "content": content,
            "stop_reason": reason,
            "stop_sequence": stopped_by,
            "usage": _usage(tokens, output),
        }

    def _engine_told(self, what: str, reason: str) -> None:
        match what:
            case "loading":
                self._condition.preparing(reason)
            case "ready":
                self._condition.well()
            case _:
                self._condition.unwell(reason)


def model_name(model: Path | None) -> str:
    """Name the model after its file, without its quantisation: ``smollm2-135m-instruct``."""
    return model.name.removesuffix(".gguf").split(".")[0].lower() if model else "embedded"


def _fields(prompt: Prompt) -> dict[str, Any]:
    messages = [{"role": turn.role, "content": turn.text} for turn in prompt.turns]
    return {"model": "embedded", "messages": messages, **({"system": prompt.system} if prompt.system else {})}


def _usage(input_tokens: int, output_tokens: int) -> dict[str, int]:
    return {
        "input_tokens": input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
    }


async def _collect(pieces: AsyncGenerator[Piece, None]) -> bytes:
    """Put the events of one answer together into the body of a plain one."""
    message: dict[str, Any] = {}
    async for piece in pieces:
        fields = orjson.loads(piece.data)
        match piece.event:
            case "message_start":
                message = fields["message"]
            case "content_block_start":
                message["content"].append(fields["content_block"])
            case "content_block_delta":
                kind = fields["delta"]["type"].removesuffix("_delta")
                block = message["content"][fields["index"]]
                block[kind] = block.get(kind, "") + fields["delta"].get(kind, "")
            case "message_delta":
                message |= fields["delta"]
                message["usage"] = fields["usage"]
            case "error":
                raise AnswerError(502, fields["error"]["message"], code="provider_error")
    return orjson.dumps(message)
