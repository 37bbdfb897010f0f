"""The embedded model as a provider: trims what it cannot take, queues what it cannot run at once."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from services.llmproxy.answers import Answer, Call, Head, Piece, Pieces, Resources
from services.llmproxy.condition import Condition
from services.llmproxy.configuration import ProviderConfiguration
from services.llmproxy.embedded import Engine, obstacle, unavailable
from services.llmproxy.events import collect
from services.llmproxy.messages import DEFAULT_MAX_TOKENS, MALFORMED, AnswerError, refused
from services.llmproxy.retelling import Retelling
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
        self._engine_said = ""
        self._load_failure = ""
        self._failed_file: object = None
        self._reason = unavailable(settings.model)
        self._checking: asyncio.Task[None] | None = None
        if self._reason:
            condition.unwell(self._reason)
        else:
            condition.preparing("checking the engine")
            self._checking = asyncio.create_task(self._check_first(), name="check the embedded model's engine")

    async def stream(self, call: Call) -> Answer:
        """Answer one call by a real model, in its own words, streamed or whole."""
        self._require_available()
        _max_tokens(call)
        _require_sampling(call.request.fields)
        async with self._slot():
            await self._engine.ready()
            prompt, tokens = await self._fit(call)
            asked = self._ask(call, prompt, tokens)
            headers = {TRIMMED_HEADER: ", ".join(sorted(prompt.trimmed))} if prompt.trimmed else {}
            if prompt.trimmed:
                log.info("request trimmed", extra={"trimmed": sorted(prompt.trimmed), "input_tokens": tokens})
            async with (
                aclosing(self._engine.stream(asked)) as events,
                aclosing(self._pieces(events, tokens)) as batches,
            ):
                if call.request.stream:
                    first = await anext(batches)
                    yield Head(200, self.model, headers)
                    yield first
                    async for pieces in batches:
                        yield pieces
                else:
                    body = collect([piece async for pieces in batches for piece in pieces])
                    yield Head(200, self.model, headers)
                    yield [Piece("", body)]

    async def count_tokens(self, call: Call) -> int:
        """Count what a request would cost this model, trimmed as it would be."""
        self._require_available()
        await self._engine.ready()
        return (await self._fit(call))[1]

    async def check(self, key: str = "") -> None:  # noqa: ARG002  it needs none
        """Say why the model cannot run here, without loading it; a child that died is started by the next request.

        A model that did not load is not believed to load now, unless its file is another one.
        """
        self._reason = unavailable(self._settings.model) or await obstacle()
        if self._engine_said == "loading":
            raise AnswerError(503, "The embedded model is loading", code="provider_unavailable")
        if self._reason or _stamp(self._settings.model) != self._failed_file:
            self._load_failure = ""  # explained, or no longer true
        reason = self._reason or self._load_failure
        if reason:
            if (self._condition.healthy, self._condition.reason) != (False, reason):
                self._condition.unwell(reason)
            raise AnswerError(503, reason, code="provider_unavailable")

    async def close(self) -> None:
        """End the child process."""
        if self._checking is not None:
            self._checking.cancel()
            with suppress(asyncio.CancelledError):
                await self._checking
        await self._engine.close()

    async def _check_first(self) -> None:
        """Find out in the background, because start-up waits for nothing, what a first request would find out."""
        with suppress(AnswerError):
            await self.check()
            if not self._engine_said:  # else it has spoken for itself
                self._condition.well()

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
        with refused(400, MALFORMED):
            prompt = fit(call.request.fields, limit)
        tokens = await self._engine.count(_fields(prompt))
        while tokens > limit and any(turn.text for turn in prompt.turns):
            prompt = prompt.cut()
            tokens = await self._engine.count(_fields(prompt))
        return prompt, tokens

    def _ask(self, call: Call, prompt: Prompt, tokens: int) -> dict[str, Any]:
        fields = call.fields
        room = self._settings.slot_context - tokens - MARGIN_TOKENS
        most = max(1, min(_max_tokens(call), room, self._settings.answer_tokens))
        passed = {name: fields[name] for name in PASSED if fields.get(name) is not None}
        return {**_fields(prompt), **passed, "max_tokens": most, "stream": True}

    async def _pieces(self, events: AsyncGenerator[Event, None], tokens: int) -> AsyncGenerator[Pieces, None]:
        """Retell the engine's events; a failure after the first is the last one."""
        retelling = Retelling(f"{self.name}/{self.model}", tokens)
        try:
            async for event in events:
                if pieces := retelling.take(event):
                    yield pieces
            if not retelling.ended:
                raise AnswerError(502, "The embedded model ended its answer early", code="provider_error")
        except AnswerError as error:
            last = retelling.torn(error)
            if not last:
                raise
            yield last

    def _engine_told(self, what: str, reason: str) -> None:
        self._engine_said = what
        match what:
            case "loading":
                self._condition.preparing(reason)
            case "ready":
                self._load_failure = ""
                self._condition.well()
            case "failed":
                self._load_failure, self._failed_file = reason, _stamp(self._settings.model)
                self._condition.unwell(reason)
            case _:
                self._condition.unwell(reason)


def model_name(model: Path | None) -> str:
    """Name the model after its file, without its quantisation: ``smollm2-135m-instruct``."""
    return model.name.removesuffix(".gguf").split(".")[0].lower() if model else "embedded"


def _stamp(model: Path | None) -> object:
    """Tell one version of a file from another."""
    try:
        known = model.stat() if model else None
    except OSError:
        return None
    return known and (known.st_ino, known.st_size, known.st_mtime_ns)


def _max_tokens(call: Call) -> int:
    wanted = call.fields.get("max_tokens", DEFAULT_MAX_TOKENS)
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
        raise AnswerError(400, "max_tokens: must be a positive integer")
    return wanted


def _require_sampling(fields: Mapping[str, Any]) -> None:
    """Refuse what the engine would choke on."""
    for name in ("temperature", "top_p", "top_k"):
        value = fields.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise AnswerError(400, f"{name}: must be a number")
    stops = fields.get("stop_sequences")
    if stops is not None and not (isinstance(stops, list) and all(isinstance(stop, str) and stop for stop in stops)):
        raise AnswerError(400, "stop_sequences: must be an array of texts")


def _fields(prompt: Prompt) -> dict[str, Any]:
    messages = [{"role": turn.role, "content": turn.text} for turn in prompt.turns]
    return {"model": "embedded", "messages": messages, **({"system": prompt.system} if prompt.system else {})}
