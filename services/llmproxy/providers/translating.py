"""What all providers have in common whose wire format is not Anthropic's."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Protocol

import aiohttp
import orjson
from yarl import URL

from services.llmproxy import chat
from services.llmproxy.answers import Answer, Call, Head, Piece, Pieces, Resources
from services.llmproxy.condition import Condition
from services.llmproxy.configuration import ProviderConfiguration
from services.llmproxy.events import Writer, collect
from services.llmproxy.messages import MALFORMED, AnswerError, refused
from services.llmproxy.sse import Decoder, Decoding, Event, EventTooLargeError
from services.llmproxy.tokens import estimate
from services.llmproxy.upstream import Upstream

BROKEN = "The provider's answer cannot be read"
DONE = b"[DONE]"
KEPT_HEADERS = ("retry-after", "retry-after-ms", "x-should-retry")


class Translation(Protocol):
    """Translates one vendor's chunks into events."""

    writer: Writer
    estimated: bool

    def take(self, chunk: Mapping[str, Any]) -> list[Piece]:
        """Return the events for one chunk."""

    def finish(self) -> list[Piece]:
        """Return the last events."""


class TranslatingProvider(ABC):
    """Sends a translated request and tells the translated answer, streamed or whole.

    A subclass says how a request is spelt and how its answer is read.
    """

    own_models = ()
    events_type = "text/event-stream"
    """What the vendor calls a stream of events."""
    _models_url = ""
    """Where models are listed."""

    def __init__(self, configured: ProviderConfiguration, resources: Resources, condition: Condition) -> None:
        self.name = configured.name
        self.credential = configured.has_credential
        self._upstream = Upstream(configured, resources.session, resources.limits, condition, resources.proxy_url)

    @abstractmethod
    def _url(self, model: str, *, stream: bool) -> str | URL:
        """Tell where a request goes."""

    @abstractmethod
    def _headers(self, key: str, url: str | URL, body: bytes) -> dict[str, str]:
        """Tell the credential in the vendor's header; some sign address and body with it."""

    def _decoder(self) -> Decoding:
        """Make the reader of one stream."""
        return Decoder()

    @abstractmethod
    def _body(self, fields: Mapping[str, Any], model: str) -> dict[str, Any]:
        """Translate a request."""

    @abstractmethod
    def _translation(self, fields: Mapping[str, Any], model: str) -> Translation:
        """Make the reader of one answer."""

    async def stream(self, call: Call) -> Answer:
        """Answer one call with translated events, or a translated body."""
        fields = call.fields
        with refused(400, MALFORMED):
            answer = self._translation(fields, call.model)
            answer.writer.count_input = partial(estimate, fields, call.model)
            body = orjson.dumps(self._body(fields, call.model))
        url = self._url(call.model, stream=call.request.stream)
        headers = {"content-type": "application/json"} | self._headers(call.key, url, body)
        if call.request.stream:
            headers["accept-encoding"] = "identity"  # a compressor may hold events back
        async with self._upstream.request("POST", url, headers, body) as response:
            if response.status != 200:
                raise await self._refusal(response)
            if call.request.stream and response.content_type == self.events_type:
                async with aclosing(self._pieces(response, answer)) as batches:
                    first = await anext(batches)
                    yield Head(200, call.model)
                    yield first
                    async for pieces in batches:
                        yield pieces
                return
            told = self._whole(await self._upstream.read(response), answer)
        estimated = {"x-usage-estimated": "true"} if answer.estimated else {}
        yield Head(200, call.model, estimated)
        # Some answer a stream with a whole body.
        yield told if call.request.stream else [Piece("", collect(told))]

    async def count_tokens(self, call: Call) -> int:  # noqa: ARG002  the interface's
        """Refuse: most wire formats have no way to count."""
        raise AnswerError(501, "The provider does not count tokens", code="provider_error")

    async def check(self, key: str) -> None:
        """List the provider's models, which costs nothing."""
        async with self._upstream.request(
            "GET", self._models_url, self._headers(key, self._models_url, b"")
        ) as response:
            if response.status == 401 or response.status >= 500:
                raise AnswerError(502, f"the provider answers {response.status}")

    async def close(self) -> None:  # noqa: B027  not every provider has something to close
        """Own nothing that stays open."""

    async def _pieces(self, response: aiohttp.ClientResponse, answer: Translation) -> AsyncGenerator[Pieces, None]:
        """Yield the translated events of every chunk; a failure after the first one is told as the last."""
        decoder = self._decoder()
        told: list[Piece] = []
        try:
            async for chunk in self._upstream.chunks(response):
                done = _take(decoder.feed(chunk), answer, told)
                if told:
                    yield told
                    told = []
                if done:
                    break
            else:
                _take(decoder.finish(), answer, told)
            if not answer.writer.begun:
                raise AnswerError(502, f"Provider '{self.name}' answered nothing", code="provider_error")
            yield told + answer.finish()
        except (AnswerError, EventTooLargeError) as error:
            broken = error if isinstance(error, AnswerError) else AnswerError(502, BROKEN)
            last = answer.writer.torn(broken)
            if not last:
                raise broken from None
            yield told + last

    def _whole(self, data: bytes, answer: Translation) -> list[Piece]:
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError:
            body = None
        if not isinstance(body, dict) or not body.keys() & {
            "choices",
            "candidates",
            "promptFeedback",
            "output",
            "error",
        }:
            raise AnswerError(502, f"Provider '{self.name}' sent no answer", code="provider_error")
        with refused(502, BROKEN):
            return answer.take(body) + answer.finish()

    async def _refusal(self, response: aiohttp.ClientResponse) -> AnswerError:
        data = await self._upstream.read(response)
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError:
            body = {}
        if isinstance(body, list) and body:  # Gemini wraps the errors of streams in a list
            body = body[0]
        refusal = self._failure(body if isinstance(body, dict) else {}, response)
        refusal.details = {"provider": self.name}
        refusal.headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
        return refusal

    def _failure(self, body: Mapping[str, Any], response: aiohttp.ClientResponse) -> AnswerError:
        """Read a refusal: the vendor's words under the vendor's status."""
        refusal = chat.failure(body.get("error", body), response.status)
        refusal.status = response.status if response.status >= 400 else 502
        return refusal


def _take(events: Iterable[Event], answer: Translation, told: list[Piece]) -> bool:
    """Add what is told for some events, and tell whether the answer is done; what came before a failure is kept."""
    for event in events:
        if event.data == DONE:
            return True
        with refused(502, BROKEN):
            told += answer.take(orjson.loads(event.data))
    return False
