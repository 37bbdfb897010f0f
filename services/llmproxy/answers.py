"""What passes between the servicer and the providers: one call in; a head, then events or one body, out."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from services.llmproxy.embedded import EngineSettings
from services.llmproxy.messages import DEFAULT_MAX_TOKENS, Request
from services.llmproxy.upstream import Limits


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way to one provider's model."""

    request: Request
    model: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    key: str = field(default="", repr=False)
    """The one of the provider's keys that it goes with."""
    most_tokens: int = 0
    """A cap of ``max_tokens``; 0 for none."""

    @property
    def fields(self) -> dict[str, Any]:
        """The request as it is meant for this provider: what the route adds is in it, and its caps hold."""
        fields = {**self.parameters, **self.request.fields}
        wanted = fields.get("max_tokens", DEFAULT_MAX_TOKENS)
        if self.most_tokens and isinstance(wanted, int) and wanted > self.most_tokens:
            fields["max_tokens"] = self.most_tokens
        return fields


@dataclass(frozen=True, slots=True)
class Head:
    """What is known when an answer begins; it always comes first."""

    status: int = 200
    model: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Piece:
    """One event of a streamed answer, or the whole body where ``event`` is empty."""

    event: str
    data: bytes


Pieces = Sequence[Piece]
"""What came at once; never empty."""
Answer = AsyncGenerator[Head | Pieces, None]


@dataclass(frozen=True, slots=True)
class Resources:
    """What providers are made with."""

    session: aiohttp.ClientSession
    limits: Limits
    engine: EngineSettings
    queue_limit: int
    proxy_url: str = ""
    proxies: Mapping[str, str] = field(default_factory=dict)
    """What the environment says of proxies, for providers that are told of none."""
    retries: int = 1
    adaptive_thinks: bool = False


class Provider(Protocol):
    """One configured vendor; made when the configuration is read, closed when it is replaced."""

    @property
    def name(self) -> str:
        """The configured name."""

    @property
    def own_models(self) -> tuple[str, ...]:
        """The models it has when none are configured; empty for any."""

    @property
    def credential(self) -> bool:
        """Whether it has the credential it needs."""

    def stream(self, call: Call) -> Answer:
        """Answer one call; closing the generator cancels the provider's work at once.

        Raises ``AnswerError`` for what goes wrong before the first event. What goes wrong later is told as the
        last event, ``error``, so that the client never mistakes a torn answer for a whole one.
        """

    async def count_tokens(self, call: Call) -> int:
        """Count a request's input tokens; raises ``AnswerError`` when it cannot."""

    async def check(self, key: str) -> None:
        """Ask with one of its keys, without spending tokens, whether it answers; raises ``AnswerError`` if not."""

    async def close(self) -> None:
        """Let go of connections and processes."""
