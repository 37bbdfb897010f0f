"""Providers that speak Anthropic Messages themselves: everything passes through, only the model's name changes."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import aiohttp
import orjson
from yarl import URL

from services.llmproxy.answers import Answer, Call, Head, Piece, Pieces, Resources
from services.llmproxy.condition import Condition
from services.llmproxy.configuration import ProviderConfiguration
from services.llmproxy.events import SIGNATURE_TAG, is_foreign
from services.llmproxy.messages import DEFAULT_MAX_TOKENS, ERROR_TYPES, AnswerError, redact
from services.llmproxy.passing import BROKEN, Passing
from services.llmproxy.presets import endpoint
from services.llmproxy.sse import Decoder, Decoding, EventTooLargeError
from services.llmproxy.upstream import Upstream

DEFAULT_VERSION = "2023-06-01"
KEPT_HEADERS = ("retry-after", "retry-after-ms", "x-should-retry", "request-id")
KEPT_PREFIXES = ("anthropic-ratelimit-", "anthropic-priority-")
STATUS_OF_TYPE = {kind: status for status, kind in sorted(ERROR_TYPES.items(), reverse=True)} | {
    "overloaded_error": 529
}


class AnthropicProvider:
    """Passes requests, answers and errors through unread where that is possible."""

    own_models = ()
    events_type = "text/event-stream"
    """What the provider calls a stream of events."""

    def __init__(self, configured: ProviderConfiguration, resources: Resources, condition: Condition) -> None:
        self.name = configured.name
        self._messages_url = endpoint(configured.api_base_url, "messages")
        self._models_url = self._messages_url.removesuffix("messages") + "models"
        self.credential = configured.has_credential
        host = URL(configured.api_base_url).host or ""
        self._takes_bearer = configured.name.lower() != "anthropic" and not host.endswith("anthropic.com")
        self._upstream = Upstream(configured, resources.session, resources.limits, condition, resources.proxy_url)

    async def stream(self, call: Call) -> Answer:
        """Answer one call with the provider's own events, or its own body."""
        async with self._upstream.request("POST", *self._asked(call)) as response:
            kept = _kept(response.headers)
            if response.status != 200 or response.content_type != self.events_type:
                told = self._whole(response, await self._upstream.read(response), call.model)
                yield Head(response.status, call.model, kept)
                yield [Piece("", told)]
                return
            passing = Passing(self.name, call.model)
            async with aclosing(self._pieces(response, passing)) as batches:
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
        async with self._upstream.request("POST", url, self._headers(call), orjson.dumps(fields)) as response:
            data = await self._upstream.read(response)
            if response.status != 200:
                raise AnswerError(response.status, "The provider does not count tokens", code="provider_error")
        try:
            return int(orjson.loads(data)["input_tokens"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise AnswerError(502, "The provider does not count tokens", code="provider_error") from None

    async def check(self, key: str) -> None:
        """List the provider's models, which costs nothing."""
        headers = {"anthropic-version": DEFAULT_VERSION} | self._authorization(key)
        async with self._upstream.request("GET", self._models_url, headers) as response:
            if response.status == 401 or response.status >= 500:
                raise AnswerError(502, f"the provider answers {response.status}")

    async def close(self) -> None:
        """Own nothing that stays open."""

    def _asked(self, call: Call) -> tuple[str | URL, Mapping[str, str], bytes]:
        """Make address, headers and body of a request."""
        headers = self._headers(call)
        if call.request.stream:
            headers["accept-encoding"] = "identity"  # a compressor may hold events back
        return self._messages_url, headers, _body(call)

    def _decoder(self) -> Decoding:
        """Make the reader of one stream."""
        return Decoder()

    def _headers(self, call: Call) -> dict[str, str]:
        passed = {name: value for name, value in call.request.headers.items() if name.startswith("anthropic-")}
        passed.setdefault("anthropic-version", DEFAULT_VERSION)
        return {**passed, "content-type": "application/json"} | self._authorization(call.key)

    def _authorization(self, key: str) -> dict[str, str]:
        """Send the key as Anthropic takes it; of those who took over its format some want it the other way."""
        if not key:
            return {}
        return {"x-api-key": key} | ({"authorization": f"Bearer {key}"} if self._takes_bearer else {})

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

    async def _pieces(self, response: aiohttp.ClientResponse, passing: Passing) -> AsyncGenerator[Pieces, None]:
        """Yield the events of every chunk; the first failure after the first event is told as the last one."""
        decoder = self._decoder()
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


def _body(call: Call) -> bytes:
    """Return the client's own bytes where nothing has to change."""
    fields = call.request.fields
    added: dict[str, Any] = {key: value for key, value in call.parameters.items() if key not in fields}
    if "max_tokens" not in fields:
        added.setdefault("max_tokens", DEFAULT_MAX_TOKENS)
    if (capped := call.fields.get("max_tokens")) != fields.get("max_tokens"):
        added["max_tokens"] = capped or added["max_tokens"]
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


def _status_of(data: bytes) -> int:
    """Choose the HTTP status of an error that came as the first event."""
    error = orjson.loads(data).get("error") or {}
    return STATUS_OF_TYPE.get(str(error.get("type")), 502)
