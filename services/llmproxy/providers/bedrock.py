"""Amazon Bedrock: Claude by InvokeModel in its own words, every other model by Converse, translated both ways."""

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from services.llmproxy import aws, converse, invoke
from services.llmproxy.answers import Answer, Call, Resources
from services.llmproxy.condition import Condition
from services.llmproxy.configuration import ProviderConfiguration
from services.llmproxy.eventstream import BrokenFrameError, FrameDecoder
from services.llmproxy.messages import MALFORMED, AnswerError, refused
from services.llmproxy.passing import BROKEN
from services.llmproxy.providers.anthropic import AnthropicProvider
from services.llmproxy.providers.translating import KEPT_HEADERS, TranslatingProvider
from services.llmproxy.sigv4 import Signer
from services.llmproxy.sse import Event
from services.llmproxy.tokens import glance
from services.llmproxy.upstream import Upstream

SERVICE = "bedrock"
EVENT_STREAM = "application/vnd.amazon.eventstream"
CHECKED_MODEL = "anthropic.claude-3-haiku-20240307-v1:0"


class BedrockProvider:
    """Answers with the models of one AWS account in one region."""

    own_models = ()

    def __init__(self, configured: ProviderConfiguration, resources: Resources, condition: Condition) -> None:
        self.name = configured.name
        self.credential = configured.has_credential
        account = _Account(configured)
        self._claude = _ClaudeOnBedrock(configured, resources, condition, account)
        self._converse = _Converse(configured, resources, condition, account)

    def stream(self, call: Call) -> Answer:
        """Answer one call in the way that fits its model."""
        return self._of(call.model).stream(call)

    async def count_tokens(self, call: Call) -> int:
        """Ask Bedrock to count, which it does for some models."""
        return await self._of(call.model).count_tokens(call)

    async def check(self, key: str) -> None:
        """Ask for a count, which costs nothing; any answer that is not about us or the service is a good one."""
        await self._converse.check(key)

    async def close(self) -> None:
        """Own nothing that stays open."""

    def _of(self, model: str) -> "_ClaudeOnBedrock | _Converse":
        return self._claude if "anthropic.claude" in model else self._converse


class _Account:
    """Signs requests to one region."""

    def __init__(self, configured: ProviderConfiguration) -> None:
        self._base_url = configured.api_base_url.rstrip("/")
        self._region = configured.region

    def url(self, model: str, action: str) -> URL:
        """Make an address that is sent as it is written, since it is what is signed."""
        if not model.strip("."):  # would be a step in the path
            raise AnswerError(404, f"No model is named '{model}'", code="model_not_found")
        return URL(f"{self._base_url}/model/{quote(model, safe='')}/{action}", encoded=True)

    def headers(self, key: str, url: str | URL, body: bytes) -> dict[str, str]:
        """Sign a request with what we are known by."""
        headers = {"content-type": "application/json"}
        credentials = aws.credentials(key)
        if credentials is None:
            return {**headers, "authorization": f"Bearer {key}"} if key else headers
        url = URL(url)
        headers["host"] = url.host_port_subcomponent or ""
        signer = Signer(credentials, self._region, SERVICE)
        return signer.sign("POST", url.raw_path, headers, body, datetime.now(UTC))

    async def count(self, upstream: Upstream, key: str, model: str, asked: Mapping[str, Any]) -> int:
        """Have tokens counted, which costs nothing."""
        url, body = self.url(model, "count-tokens"), orjson.dumps({"input": asked})
        async with upstream.request("POST", url, self.headers(key, url, body), body) as response:
            data = await upstream.read(response)
        if response.status != 200:
            raise _refusal(upstream.name, response, data)
        with refused(502, "The provider does not count tokens"):
            return int(orjson.loads(data)["inputTokens"])


class _ClaudeOnBedrock(AnthropicProvider):
    """Passes Claude's answers through, out of the frames they come in."""

    events_type = EVENT_STREAM

    def __init__(
        self, configured: ProviderConfiguration, resources: Resources, condition: Condition, account: _Account
    ) -> None:
        super().__init__(configured, resources, condition)
        self._account = account

    async def count_tokens(self, call: Call) -> int:
        body = b64encode(_claude_body(call)).decode()
        return await self._account.count(self._upstream, call.key, call.model, {"invokeModel": {"body": body}})

    def _asked(self, call: Call) -> tuple[URL, Mapping[str, str], bytes]:
        body = _claude_body(call)
        url = self._account.url(call.model, "invoke-with-response-stream" if call.request.stream else "invoke")
        return url, self._account.headers(call.key, url, body), body

    def _decoder(self) -> "_ClaudeEvents":
        return _ClaudeEvents()

    def _whole(self, response: aiohttp.ClientResponse, data: bytes, model: str) -> bytes:
        if response.status == 200:
            return super()._whole(response, data, model)
        raise _refusal(self.name, response, data)


class _Converse(TranslatingProvider):
    """Speaks Converse."""

    events_type = EVENT_STREAM

    def __init__(
        self, configured: ProviderConfiguration, resources: Resources, condition: Condition, account: _Account
    ) -> None:
        super().__init__(configured, resources, condition)
        self._account = account
        self._checked_model = next(iter(configured.models), CHECKED_MODEL)

    async def check(self, key: str) -> None:
        asked = {"converse": {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}}
        try:
            await self._account.count(self._upstream, key, self._checked_model, asked)
        except AnswerError as error:
            if error.status == 401 or error.status >= 500:
                raise

    async def count_tokens(self, call: Call) -> int:
        with refused(400, MALFORMED):
            body = converse.request(call.request.fields, call.model)
        counted = {name: body[name] for name in ("messages", "system", "toolConfig") if name in body}
        return await self._account.count(self._upstream, call.key, call.model, {"converse": counted})

    def _url(self, model: str, *, stream: bool) -> URL:
        return self._account.url(model, "converse-stream" if stream else "converse")

    def _headers(self, key: str, url: str | URL, body: bytes) -> dict[str, str]:
        return self._account.headers(key, url, body)

    def _body(self, fields: Mapping[str, Any], model: str) -> dict[str, Any]:
        return converse.request(fields, model)

    def _translation(self, fields: Mapping[str, Any], model: str) -> converse.Answer:
        return converse.Answer(self.name, model, glance(fields))

    def _decoder(self) -> "_ConverseEvents":
        return _ConverseEvents()

    def _failure(self, body: Mapping[str, Any], response: aiohttp.ClientResponse) -> AnswerError:
        return aws.failure(
            response.headers.get(aws.ERROR_HEADER, ""), body.get("message") or body.get("Message"), response.status
        )


class _Events:
    """Reads a stream of frames; an exception in it is raised as ours."""

    def __init__(self) -> None:
        self._frames = FrameDecoder()

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that the next bytes complete."""
        try:
            for frame in self._frames.feed(chunk):
                headers = frame.headers
                match headers.get(":message-type"):
                    case "event":
                        yield self._event(headers.get(":event-type", ""), frame.payload)
                    case "exception":
                        with refused(502, BROKEN):
                            said = orjson.loads(frame.payload).get("message")
                        raise aws.failure(headers.get(":exception-type", ""), said, 502)
                    case _:
                        raise aws.failure(headers.get(":error-code", ""), headers.get(":error-message"), 502)
        except BrokenFrameError:
            raise AnswerError(502, BROKEN, code="provider_error") from None

    def finish(self) -> Iterator[Event]:
        """Yield nothing: a stream ends between frames."""
        try:
            self._frames.finish()
        except BrokenFrameError:
            raise AnswerError(502, "The provider ended its answer early", code="provider_error") from None
        yield from ()

    def _event(self, name: str, payload: bytes) -> Event:
        """Tell one frame as an event whose data says by itself what it is."""
        raise NotImplementedError


class _ConverseEvents(_Events):
    def _event(self, name: str, payload: bytes) -> Event:
        return Event("", b"{%s:%s}" % (orjson.dumps(name), payload))


class _ClaudeEvents(_Events):
    def _event(self, name: str, payload: bytes) -> Event:  # noqa: ARG002  always `chunk`
        with refused(502, BROKEN):
            return Event("", b64decode(orjson.loads(payload)["bytes"], validate=True))


def _claude_body(call: Call) -> bytes:
    with refused(400, MALFORMED):
        return orjson.dumps(invoke.request(call.fields, call.request.headers.get("anthropic-beta", "")))


def _refusal(name: str, response: aiohttp.ClientResponse, data: bytes) -> AnswerError:
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        body = None
    said = body.get("message") or body.get("Message") if isinstance(body, dict) else None
    refusal = aws.failure(response.headers.get(aws.ERROR_HEADER, ""), said, response.status)
    refusal.details = {"provider": name}
    refusal.headers = {kept: response.headers[kept] for kept in KEPT_HEADERS if kept in response.headers}
    return refusal
