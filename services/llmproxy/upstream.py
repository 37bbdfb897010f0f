"""HTTP towards one provider: connect, first-byte and idle limits, and nothing left open behind."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

import aiohttp
from yarl import URL

from runtime import traces
from services.llmproxy import aws
from services.llmproxy.condition import Condition
from services.llmproxy.configuration import ProviderConfiguration
from services.llmproxy.messages import AnswerError
from services.llmproxy.scrub import Scrubber

MAX_BODY_BYTES = 64 * 1024 * 1024
REFUSED = "the provider refuses our credential"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a provider may be silent; no limit on the whole answer, which may be long."""

    connect_seconds: float = 10.0
    first_byte_seconds: float = 600.0
    idle_seconds: float = 120.0


class Upstream:
    """The way to one provider; what happens on it is recorded in its condition."""

    def __init__(
        self,
        configured: ProviderConfiguration,
        session: aiohttp.ClientSession,
        limits: Limits,
        condition: Condition,
        proxy: str = "",
    ) -> None:
        self.name = configured.name
        self._only_key = len(configured.keys) <= 1
        self._scrubber = Scrubber(key.get_secret_value() for key, _ in configured.keys)
        self._session = session
        self._limits = limits
        self._condition = condition
        self._proxy = proxy or None
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_seconds)

    @asynccontextmanager
    async def request(
        self, method: str, url: str | URL, headers: Mapping[str, str], body: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open a request; leaving early closes the connection, which the provider sees at once.

        Redirects are not followed: they would carry the credential somewhere else.
        """
        told = {"http.request.method": method, "server.address": URL(url).host or "", "pulsegate.provider": self.name}
        with traces.apart(method, "CLIENT", told) as span:
            async with self._open(method, url, {**headers, **traces.headers_of(span)}, body) as response:
                traces.note_status(span, response.status, failing=400)
                yield response

    @asynccontextmanager
    async def _open(
        self, method: str, url: str | URL, headers: Mapping[str, str], body: bytes | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        started = monotonic()
        opening = self._session.request(
            method,
            url,
            headers=headers,
            data=body,
            proxy=self._proxy,
            timeout=self._timeout,
            allow_redirects=False,
        )
        try:
            async with asyncio.timeout(self._limits.first_byte_seconds):
                response = await opening
        except aiohttp.ConnectionTimeoutError:
            self._condition.unwell("cannot be reached (no connection in time)")
            raise self._error(504, "cannot be reached (no connection in time)") from None
        except TimeoutError:
            self._condition.failed("no answer in time")
            raise self._error(504, "did not answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            reason = f"cannot be reached ({_cause(error)})"
            self._condition.unwell(reason)
            raise self._error(502, reason) from None
        try:
            self._judge(response, monotonic() - started)
            yield response
        finally:
            response.release()  # reused when the body was read to its end, else closed at once

    async def read(self, response: aiohttp.ClientResponse) -> bytes:
        """Read a whole body."""
        body = bytearray()
        async for chunk in self.chunks(response):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise self._error(502, "sent an answer that is too large")
        return self._scrubber.scrub(bytes(body))

    async def chunks(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes; raises ``AnswerError`` when it stops coming."""
        while True:
            try:
                async with asyncio.timeout(self._limits.idle_seconds):
                    chunk = await response.content.readany()
            except TimeoutError:
                raise self._error(504, f"was silent for {self._limits.idle_seconds:g} s") from None
            except (aiohttp.ClientError, OSError):
                raise self._error(502, "closed the connection in the middle of its answer") from None
            if not chunk:
                return
            yield self._scrubber.scrub(chunk)

    def _judge(self, response: aiohttp.ClientResponse, seconds: float) -> None:
        if _refuses_credential(response):
            if self._only_key:  # with several, the ring of keys knows
                self._condition.unwell(REFUSED)
        elif response.status >= 500 and response.status != 529:
            self._condition.failed(f"the provider answers {response.status}")
        else:
            self._condition.well(seconds)

    def _error(self, status: int, what: str) -> AnswerError:
        return AnswerError(
            status, f"Provider '{self.name}' {what}", code="provider_error", details={"provider": self.name}
        )


def _refuses_credential(response: aiohttp.ClientResponse) -> bool:
    """Tell whether an answer blames our credential; AWS says it by a name, under 403."""
    kind = response.headers.get(aws.ERROR_HEADER, "").partition(":")[0]
    return response.status == 401 or kind in aws.CREDENTIAL_ERRORS


def _cause(error: BaseException) -> str:
    """Name a network failure without the address in it."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name does not resolve"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return "TLS failed"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.split(" [")[0].lower()
    return "the connection was closed"
