"""Providers that speak Anthropic Messages themselves: everything passes through, only the model's name changes."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any

import aiohttp
import orjson

from services.llmproxy.answers import Answer, Call, Head, Piece, Pieces, Resources
from services.llmproxy.condition import Condition
from services.llmproxy.configuration import ProviderConfiguration
from services.llmproxy.events import SIGNATURE_TAG, is_foreign
from services.llmproxy.messages import DEFAULT_MAX_TOKENS, ERROR_TYPES, AnswerError, Request, error_event, redact
from services.llmproxy.presets import endpoint
from services.llmproxy.sse import Decoder, Event, EventTooLargeError
from services.llmproxy.upstream import Upstream

BROKEN = "The provider's events are broken"
DEFAULT_VERSION = "2023-06-01"
KEPT_HEADERS = ("retry-after", "retry-after-ms", "x-should-retry", "request-id")
KEPT_PREFIXES = ("anthropic-ratelimit-", "anthropic-priority-")
STATUS_OF_TYPE = {kind: status for status, kind in sorted(ERROR_TYPES.items(), reverse=True)} | {
    "overloaded_error": 529
}


class AnthropicProvider:
    """Passes requests, answers and errors through unread where that is possible."""

    own_models = ()

    def __init__(self, configured: ProviderConfiguration, resources: Resources, condition: Condition) -> None:
        self.name = configured.name
        self._messages_url = endpoint(configured.api_base_url, "messages")
        self._models_url = self._messages_url.removesuffix("messages") + "models"
        key = configured.api_key.get_secret_value()
        self._authorization = {"x-api-key": key} if key else {}
        self.credential = bool(key) or configured.keyless
        self._upstream = Upstream(configured.name, resources.session, resources.limits, condition, resources.proxy_url)

    async def stream(self, call: Call) -> Answer:
        """Answer one call with the provider's own events, or its own body."""
        headers = self._headers(call.request)
        if call.request.stream:
            headers["accept-encoding"] = "identity"  # a compressor may hold events back
        async with self._upstream.request("POST", self._messages_url, headers, _body(call)) as response:
            kept = _kept(response.headers)
            if response.status != 200 or response.content_type != "text/event-stream":
                data = await self._upstream.read(response)
                yield Head(response.status, call.model, kept)
                yield [Piece("", self._whole(response, data, call.model))]
                return
            async with aclosing(self._pieces(response, call.model)) as batches:
                first = await anext(batches)
                if first[0].event == "error":  # nothing was said yet, so the status can still tell
                    yield Head(_status_of(first[0].data), call.model, kept)
                    yield [Piece("", first[0].data)]
                    return
                yield Head(200, call.model, kept)
                yield first
                async for pieces in batches:
                    yield pieces

    async def count_tokens(self, call: Call) -> int:
        """Ask the provider to count; anything but a number is an error."""
        url = f"{self._messages_url}/count_tokens"
        fields = {**call.request.fields, "model": call.model}
        async with self._upstream.request("POST", url, self._headers(call.request), orjson.dumps(fields)) as response:
            data = await self._upstream.read(response)
            if response.status != 200:
                raise AnswerError(response.status, "The provider does not count tokens", code="provider_error")
        try:
            return int(orjson.loads(data)["input_tokens"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise AnswerError(502, "The provider does not count tokens", code="provider_error") from None

    async def check(self) -> None:
        """List the provider's models, which costs nothing."""
        headers = {"anthropic-version": DEFAULT_VERSION} | self._authorization
        async with self._upstream.request("GET", self._models_url, headers) as response:
            if response.status == 401 or response.status >= 500:
                raise AnswerError(502, f"the provider answers {response.status}")

    async def close(self) -> None:
        """Own nothing that stays open."""

    def _headers(self, request: Request) -> dict[str, str]:
        passed = {name: value for name, value in request.headers.items() if name.startswith("anthropic-")}
        passed.setdefault("anthropic-version", DEFAULT_VERSION)
        return {**passed, "content-type": "application/json"} | self._authorization

    def _whole(self, response: aiohttp.ClientResponse, data: bytes, model: str) -> bytes:
        """Return a body as it goes to the client; one that is not Anthropic's becomes our error."""
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError:
            body = None
        if response.status == 200 and isinstance(body, dict) and body.get("type") == "message":
            return orjson.dumps({**body, "model": f"{self.name}/{body.get('model') or model}"})
        if response.status >= 400 and isinstance(body, dict) and isinstance(body.get("error"), dict):
            return data
        status = response.status if response.status >= 400 else 502
        text = redact(data[:500].decode(errors="replace")) if status < 500 else ""
        raise AnswerError(
            status,
            f"Provider '{self.name}' answered {response.status} without a Messages body. {text}".strip(),
            code="provider_error",
            details={"provider": self.name},
        )

    async def _pieces(self, response: aiohttp.ClientResponse, model: str) -> AsyncGenerator[Pieces, None]:
        """Yield the events of every chunk; the first failure after the first event is told as the last one."""
        passing = _Passing(self.name, model)
        decoder = Decoder()
        try:
            async for chunk in self._upstream.chunks(response):
                if pieces := passing.take(decoder.feed(chunk)):
                    yield pieces
                if passing.ended:
                    return
            if pieces := passing.take(decoder.finish()):
                yield pieces
            if not passing.ended:
                raise AnswerError(502, f"Provider '{self.name}' ended its answer early", code="provider_error")
        except (AnswerError, EventTooLargeError) as error:
            failure = error if isinstance(error, AnswerError) else AnswerError(502, BROKEN)
            last = passing.torn(failure)
            if not last:
                raise failure from None
            yield last


class _Passing:
    """One streamed answer on its way through, watched just enough to end it well if it breaks."""

    def __init__(self, name: str, model: str) -> None:
        self._name = name
        self._model = model
        self._begun = False
        self._open_block: object = None
        self.ended = False

    def take(self, events: Iterable[Event]) -> list[Piece]:
        """Return what is told for the events of one chunk; what cannot be read ends the answer."""
        pieces: list[Piece] = []
        for event in events:
            try:
                pieces.append(self._piece(event))
            except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
                failure = AnswerError(502, BROKEN, code="provider_error")
                last = self.torn(failure)
                if not last:
                    raise failure from None
                pieces += last
            if self.ended:
                break
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


def _body(call: Call) -> bytes:
    """Return the client's own bytes where nothing has to change."""
    fields = call.request.fields
    added: dict[str, Any] = {key: value for key, value in call.parameters.items() if key not in fields}
    if "max_tokens" not in fields:
        added.setdefault("max_tokens", DEFAULT_MAX_TOKENS)
    if call.request.headers.get("anthropic-version", "") >= "2026-10-21":  # that version refuses sampling parameters
        added = {key: value for key, value in added.items() if key not in ("temperature", "top_p", "top_k")}
    if SIGNATURE_TAG.encode() in call.request.raw:
        added["messages"] = [_without_foreign_thoughts(message) for message in fields["messages"]]
    if not added and fields["model"] == call.model:
        return call.request.raw
    return orjson.dumps({**fields, **added, "model": call.model})


def _without_foreign_thoughts(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out thoughts that another vendor had in this conversation: their signatures would be refused."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [block for block in content if not is_foreign(block)]}


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    lowered = {name.lower(): value for name, value in headers.items()}
    return {name: value for name, value in lowered.items() if name in KEPT_HEADERS or name.startswith(KEPT_PREFIXES)}


def _type_of(data: bytes) -> str:
    return str(orjson.loads(data).get("type", ""))


def _status_of(data: bytes) -> int:
    """Choose the HTTP status of an error that came as the first event."""
    error = orjson.loads(data).get("error") or {}
    return STATUS_OF_TYPE.get(str(error.get("type")), 502)
