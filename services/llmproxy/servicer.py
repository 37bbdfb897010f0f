"""The gRPC edge: one request in, a head and events out, and the status document of this process."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from time import monotonic, time
from typing import Any

import grpc
import orjson
from google.protobuf.timestamp_pb2 import Timestamp

from gen.llmproxy.v1 import llmproxy_pb2 as pb
from gen.llmproxy.v1 import llmproxy_pb2_grpc
from runtime.health import Health
from runtime.requests import REQUEST_ID_KEY
from runtime.status import StatusFeed
from services.llmproxy import accounts
from services.llmproxy.answers import Head, Piece, Pieces
from services.llmproxy.attempts import Attempts
from services.llmproxy.budget import BudgetSpent
from services.llmproxy.build import Build
from services.llmproxy.completions import CompletionsForm, MessagesForm
from services.llmproxy.configuration import ConfigurationError, ProviderConfiguration, masked
from services.llmproxy.messages import AnswerError, parse
from services.llmproxy.meter import Meter
from services.llmproxy.minutes import Minute, share
from services.llmproxy.rates import Rates
from services.llmproxy.registry import (
    Registry,
    TakenNameError,
    UnchangeableError,
    UnknownProviderError,
)
from services.llmproxy.tokens import count
from services.llmproxy.traffic import Traffic
from services.llmproxy.usage import day_of
from services.llmproxy.usage_file import UsageFileError

SERVICE = "llmproxy.v1.LlmProxyService"
PING_SECONDS = 12.0  # many a proxy on the way gives a silent stream up after a minute or less
ACTIVITY_SECONDS = 0.5
"""Counters are told this long after a request began or ended, together with all that did so meanwhile."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

log = logging.getLogger(__name__)


class LlmProxyServicer(llmproxy_pb2_grpc.LlmProxyServiceServicer):
    """Answers Messages requests through the catalog and tells how this process is."""

    def __init__(
        self, registry: Registry, health: Health, traffic: Traffic, build: Build, ping_seconds: float = PING_SECONDS
    ) -> None:
        self._ping_seconds = ping_seconds
        self._registry = registry
        self._catalog = registry.catalog
        self._health = health
        self._traffic = traffic
        self._ledger = traffic.ledger
        self._build = build
        self._started_at = datetime.now(UTC)
        self._rates = Rates()
        self._stopping = False
        self._activity = self._sample()
        self._sampling: asyncio.TimerHandle | None = None
        self.feed = StatusFeed(self._status)
        health.on_change(self.feed.changed)
        traffic.on_change(self._sample_soon)

    def drain(self) -> None:
        """Say that this process is on its way out."""
        self._stopping = True
        self.feed.changed()

    async def CreateMessage(
        self,
        request: pb.CreateMessageRequest,
        context: grpc.aio.ServicerContext[pb.CreateMessageRequest, pb.CreateMessageResponse],
    ) -> AsyncIterator[pb.CreateMessageResponse]:
        """Tell the chosen provider's pieces in the client's form; an error before the first one has its status."""
        completions = request.form == pb.CreateMessageRequest.FORM_CHAT_COMPLETIONS
        form = CompletionsForm() if completions else MessagesForm()
        meter = Meter(request.client)
        attempts: Attempts | None = None
        silence = _Silence(context, _response(None, [form.ping]), self._ping_seconds)
        self._traffic.began()
        try:
            asked = form.parse(request.body, request.headers)
            meter.asked_model = asked.model
            self._require_rate(request.client)
            budget = self._budget(request)
            catalog = self._catalog
            attempts = Attempts(catalog.choose(asked), catalog.retries, self._traffic.tried_on, breaks=catalog.breaks)
            head: pb.Head | None = None
            async with aclosing(attempts.stream()) as answer:
                async for part in answer:
                    if isinstance(part, Head):
                        provider = attempts.entry.configured.name
                        head = _head(part, provider, budget)
                        meter.begin(part)
                        self._traffic.first_byte(provider, meter.first_byte_seconds)
                        continue
                    meter.take(part)
                    told = _told(form, part, head)
                    if not told:
                        continue
                    async with silence.broken():
                        yield _response(head, told)
                    if head is not None and told[0].event:
                        silence.watch()
                    head = None
        except AnswerError as error:
            provider = attempts.entry.configured.name if attempts else ""
            meter.outcome = f"{error.status}"
            log.info("request refused", extra={"status": error.status, "provider": provider, "code": error.code})
            head = pb.Head(status=error.status, provider=provider, headers=error.headers)
            yield pb.CreateMessageResponse(head=head, data=form.error(error, _request_id(context)))
        except (asyncio.CancelledError, GeneratorExit):
            meter.left()
            raise
        finally:
            silence.end()
            self._traffic.ended(meter.end(attempts))

    def _require_rate(self, client: str) -> None:
        """Refuse a client that asks more often than it may."""
        limit = self._registry.configuration.requests_per_minute
        if limit and (wait := self._rates.wait_seconds(client, limit, monotonic())):
            raise AnswerError(
                429,
                f"Rate limit exceeded: {limit} requests per minute",
                code="rate_limit_exceeded",
                details={"limit": limit, "remaining": 0, "retry_after": wait},
                headers={"retry-after": str(wait)},
            )

    async def CountTokens(
        self,
        request: pb.CountTokensRequest,
        context: grpc.aio.ServicerContext[pb.CountTokensRequest, pb.CountTokensResponse],
    ) -> pb.CountTokensResponse:
        """Let the provider count, or count with another tokenizer and say so; only a malformed request fails."""
        try:
            asked = parse(request.body, request.headers)
        except AnswerError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        model = asked.model
        try:
            entry, call = self._catalog.choose(asked)[0]
            model = call.model
            return pb.CountTokensResponse(input_tokens=await entry.provider.count_tokens(call))
        except (AnswerError, TimeoutError):
            tokens = await asyncio.to_thread(count, asked.fields, model)
            return pb.CountTokensResponse(input_tokens=tokens, estimated=True)

    async def ListModels(
        self,
        request: pb.ListModelsRequest,  # noqa: ARG002
        context: grpc.aio.ServicerContext[pb.ListModelsRequest, pb.ListModelsResponse],  # noqa: ARG002
    ) -> pb.ListModelsResponse:
        """List what a request may ask for; a provider of any model has no list."""
        created_at = _timestamp(self._started_at)
        return pb.ListModelsResponse(
            models=[
                pb.Model(id=name, display_name=name, provider=provider, created_at=created_at)
                for name, provider in self._catalog.models()
            ]
        )

    async def ListProviders(
        self,
        request: pb.ListProvidersRequest,  # noqa: ARG002
        context: grpc.aio.ServicerContext[pb.ListProvidersRequest, pb.ListProvidersResponse],  # noqa: ARG002
    ) -> pb.ListProvidersResponse:
        """List what is configured, keys masked."""
        providers = self._registry.configuration.providers
        return pb.ListProvidersResponse(providers=[self._provider(one) for one in providers])

    async def GetProvider(
        self,
        request: pb.GetProviderRequest,
        context: grpc.aio.ServicerContext[pb.GetProviderRequest, pb.GetProviderResponse],
    ) -> pb.GetProviderResponse:
        """Read one provider."""
        async with _changing(context):
            return pb.GetProviderResponse(provider=self._provider(self._registry.provider(request.name)))

    async def CreateProvider(
        self,
        request: pb.CreateProviderRequest,
        context: grpc.aio.ServicerContext[pb.CreateProviderRequest, pb.CreateProviderResponse],
    ) -> pb.CreateProviderResponse:
        """Add a provider; saved first, used at once."""
        fields: dict[str, object] = {
            "name": request.name,
            "api_base_url": request.api_base_url,
            "api_key": request.api_key,
            "models": list(request.models),
            "message_format": request.message_format,
            "enabled": request.enabled if request.HasField("enabled") else True,
        }
        async with _changing(context):
            created = await self._registry.create(
                {key: value for key, value in fields.items() if value not in ("", [])}
            )
            return pb.CreateProviderResponse(provider=self._provider(created))

    async def UpdateProvider(
        self,
        request: pb.UpdateProviderRequest,
        context: grpc.aio.ServicerContext[pb.UpdateProviderRequest, pb.UpdateProviderResponse],
    ) -> pb.UpdateProviderResponse:
        """Change what is given; an empty text is as good as none."""
        texts = {
            "name": request.new_name,
            "api_base_url": request.api_base_url,
            "api_key": request.api_key,
            "message_format": request.message_format,
        }
        fields: dict[str, object] = {key: value for key, value in texts.items() if value}
        if request.HasField("models"):
            fields["models"] = list(request.models.models)
        if request.HasField("enabled"):
            fields["enabled"] = request.enabled
        async with _changing(context):
            updated = await self._registry.update(request.name, fields)
            return pb.UpdateProviderResponse(provider=self._provider(updated))

    async def DeleteProvider(
        self,
        request: pb.DeleteProviderRequest,
        context: grpc.aio.ServicerContext[pb.DeleteProviderRequest, pb.DeleteProviderResponse],
    ) -> pb.DeleteProviderResponse:
        """Remove a provider."""
        async with _changing(context):
            await self._registry.delete(request.name)
            return pb.DeleteProviderResponse()

    async def ToggleProvider(
        self,
        request: pb.ToggleProviderRequest,
        context: grpc.aio.ServicerContext[pb.ToggleProviderRequest, pb.ToggleProviderResponse],
    ) -> pb.ToggleProviderResponse:
        """Flip whether a provider is used."""
        async with _changing(context):
            return pb.ToggleProviderResponse(enabled=await self._registry.toggle(request.name))

    async def GetUsage(
        self,
        request: pb.GetUsageRequest,
        context: grpc.aio.ServicerContext[pb.GetUsageRequest, pb.GetUsageResponse],
    ) -> pb.GetUsageResponse:
        """Sum up what requests spent."""
        async with _reading(context):
            return await self._ledger.ask(lambda file: accounts.usage(file, request))

    async def ListRequests(
        self,
        request: pb.ListRequestsRequest,
        context: grpc.aio.ServicerContext[pb.ListRequestsRequest, pb.ListRequestsResponse],
    ) -> pb.ListRequestsResponse:
        """List the latest requests."""
        async with _reading(context):
            return await self._ledger.ask(lambda file: accounts.requests(file, request.limit))

    async def GetHealth(
        self,
        request: pb.GetHealthRequest,  # noqa: ARG002
        context: grpc.aio.ServicerContext[pb.GetHealthRequest, pb.GetHealthResponse],  # noqa: ARG002
    ) -> pb.GetHealthResponse:
        """Tell what ticks, as it is now."""
        now = self._sample()
        return pb.GetHealthResponse(
            status=self._status(),
            memory_bytes=now.memory_bytes,
            tasks=now.tasks,
            requests_total=now.requests_total,
            requests_succeeded=now.requests_succeeded,
            requests_failed=now.requests_failed,
            latency=now.latency,
        )

    async def GetStatus(
        self,
        request: pb.GetStatusRequest,  # noqa: ARG002
        context: grpc.aio.ServicerContext[pb.GetStatusRequest, pb.GetStatusResponse],  # noqa: ARG002
    ) -> pb.GetStatusResponse:
        """Tell the status document once."""
        return pb.GetStatusResponse(status=self._status())

    async def WatchStatus(
        self,
        request: pb.WatchStatusRequest,  # noqa: ARG002
        context: grpc.aio.ServicerContext[pb.WatchStatusRequest, pb.WatchStatusResponse],  # noqa: ARG002
    ) -> AsyncIterator[pb.WatchStatusResponse]:
        """Tell the status document at once and after every change."""
        async for status in self.feed.watch():
            yield pb.WatchStatusResponse(status=status)

    def _budget(self, request: pb.CreateMessageRequest) -> Mapping[str, str]:
        """Tell in headers what is left of the key's budget; nothing is a 429 that no client should repeat by itself."""
        now, told = time(), request.spent
        known = (told.today, told.this_month) if told.day == day_of(now) else (0, 0)
        try:
            allowance = self._ledger.budgets.require(request.client, now, known)
        except BudgetSpent as error:
            left = error.allowance
            raise AnswerError(
                429,
                str(error),
                code="budget_exceeded",
                details={"limit": left.limit, "remaining": 0, "retry_after": error.retry_after_seconds},
                headers={"retry-after": f"{error.retry_after_seconds}", "x-should-retry": "false", **left.headers},
            ) from None
        return allowance.headers if allowance else {}

    def _status(self) -> pb.LlmProxyStatus:
        build = self._build
        return pb.LlmProxyStatus(
            version=build.version,
            build=pb.Build(version=build.version, commit=build.commit, date=build.date and _timestamp(build.date)),
            pid=os.getpid(),
            started_at=_timestamp(self._started_at),
            state=self._state(),
            providers=[
                pb.ProviderStatus(
                    name=name,
                    enabled=entry.configured.enabled,
                    credential=entry.provider.credential,
                    healthy=entry.condition.healthy,
                    last_check=entry.condition.last_check and _timestamp(entry.condition.last_check),
                    response_time_ms=entry.condition.response_time_ms,
                )
                for name, entry in self._catalog.entries.items()
            ],
            health=[
                pb.ComponentHealth(
                    name=one.name, serving=one.serving, since=_timestamp(one.since), last_error=one.last_error
                )
                for one in self._health.report()
            ],
            activity=self._activity,
            routes=[
                pb.RouteStatus(
                    name=name,
                    targets=[f"{route.provider},{route.model}", *(",".join(pair) for pair in route.fallbacks)],
                )
                for name, route in sorted(self._registry.configuration.routes.items())
            ],
        )

    def _sample_soon(self) -> None:
        if self._sampling is None:
            self._sampling = asyncio.get_running_loop().call_later(ACTIVITY_SECONDS, self._sample_now)

    def _sample_now(self) -> None:
        self._sampling = None
        self._activity = self._sample()
        self.feed.changed()

    def _sample(self) -> pb.Activity:
        traffic, latencies = self._traffic, self._traffic.latencies()
        budgets, now = self._ledger.budgets, time()
        return pb.Activity(
            memory_bytes=_resident_bytes(),
            tasks=len(asyncio.all_tasks()),
            requests_total=traffic.total,
            requests_succeeded=traffic.succeeded,
            requests_failed=traffic.failed,
            latency=pb.Latency(
                average_ms=latencies.average_ms,
                p50_ms=latencies.p50_ms,
                p95_ms=latencies.p95_ms,
                p99_ms=latencies.p99_ms,
            ),
            minutes=map(_minute, traffic.minutes.all()),
            store_id=self._ledger.store_id,
            budget=pb.Budget(tokens_per_day=budgets.per_day, tokens_per_month=budgets.per_month),
            spending=[
                pb.Spending(client=client, day=day_of(now), today=today, this_month=this_month)
                for client, (today, this_month) in (budgets.spent(now).items() if budgets.limited else ())
            ],
        )

    def _provider(self, provider: ProviderConfiguration) -> pb.Provider:
        return pb.Provider(
            name=provider.name,
            api_base_url=provider.api_base_url,
            api_key=masked(provider.api_key.get_secret_value()),
            models=provider.models,
            enabled=provider.enabled,
            message_format=provider.message_format,
            transformers=[
                pb.Transformer(name=one.name, config=orjson.dumps(one.config) if one.config else b"")
                for one in provider.transformers
            ],
            created_at=_timestamp(provider.created_at or self._started_at),
            updated_at=_timestamp(provider.updated_at or self._started_at),
        )

    def _state(self) -> pb.LlmProxyStatus.State:
        if self._stopping:
            return pb.LlmProxyStatus.STATE_STOPPING
        if not self._health.serving():
            return pb.LlmProxyStatus.STATE_STARTING
        entries = self._catalog.entries.values()
        well = all(entry.condition.healthy for entry in entries if entry.configured.enabled)
        return pb.LlmProxyStatus.STATE_READY if well else pb.LlmProxyStatus.STATE_DEGRADED


@asynccontextmanager
async def _changing(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """Say in gRPC's terms why a provider could not be read or changed."""
    try:
        yield
    except UnknownProviderError as error:
        await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
    except TakenNameError as error:
        await context.abort(grpc.StatusCode.ALREADY_EXISTS, str(error))
    except ConfigurationError as error:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    except UnchangeableError as error:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))


@asynccontextmanager
async def _reading(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """Say in gRPC's terms why records could not be read."""
    try:
        yield
    except UsageFileError as error:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"Usage is not available: {error}")


class _Silence:
    """Puts a ping into a stream that has been silent for a while; never into a write that is under way."""

    def __init__(
        self,
        context: grpc.aio.ServicerContext[pb.CreateMessageRequest, pb.CreateMessageResponse],
        ping: pb.CreateMessageResponse,
        seconds: float,
    ) -> None:
        self._context = context
        self._ping_with = ping
        self._seconds = seconds
        self._writing = asyncio.Lock()
        self._since = monotonic()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def broken(self) -> AsyncIterator[None]:
        """Hold pings back while something is written."""
        async with self._writing:
            yield
        self._since = monotonic()

    def watch(self) -> None:
        """Begin to ping."""
        self._task = asyncio.create_task(self._ping(), name="ping a silent stream")

    def end(self) -> None:
        """Ping no more."""
        if self._task is not None:
            self._task.cancel()

    async def _ping(self) -> None:
        while True:
            silent = monotonic() - self._since
            if silent < self._seconds:
                await asyncio.sleep(self._seconds - silent)
            else:
                async with self.broken():
                    await self._context.write(self._ping_with)


def _told(form: MessagesForm | CompletionsForm, pieces: Pieces, head: pb.Head | None) -> Pieces:
    """Say what came at once in the client's words."""
    if pieces[0].event:
        return [told for piece in pieces for told in form.tell(piece)]
    return [Piece("", form.whole(head.status if head else 200, pieces[0].data))]


def _response(head: pb.Head | None, pieces: Pieces) -> pb.CreateMessageResponse:
    first, *others = pieces
    more = [pb.CreateMessageResponse.Event(event=piece.event, data=piece.data) for piece in others]
    return pb.CreateMessageResponse(head=head, event=first.event, data=first.data, more=more)


def _head(head: Head, provider: str, more: Mapping[str, str]) -> pb.Head:
    return pb.Head(status=head.status, provider=provider, model=head.model, headers={**head.headers, **more})


def _request_id(context: grpc.aio.ServicerContext[pb.CreateMessageRequest, pb.CreateMessageResponse]) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY:
            return str(value)
    return ""


def _minute(minute: Minute) -> pb.Minute:
    return pb.Minute(
        start=Timestamp(seconds=minute.start),
        requests=minute.requests,
        failed=minute.failed,
        input_tokens=minute.input_tokens,
        output_tokens=minute.output_tokens,
        first_byte_p50_ms=share(minute.first_byte_ms, 0.50),
        total_p50_ms=share(minute.total_ms, 0.50),
        total_p95_ms=share(minute.total_ms, 0.95),
    )


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123  hot and always there on Linux
        return int(statm.read().split()[1]) * PAGE_BYTES
