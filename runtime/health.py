"""The truth about one process, spoken as the standard gRPC health protocol."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

READINESS = "readiness"
LIVENESS = "liveness"
MAX_LISTED = 100  # gRFC A90: a List beyond this fails

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Probe:
    """One question asked in the background: returning means serving, raising says why not."""

    name: str
    check: Callable[[], Awaitable[object]]
    interval_seconds: float = 1.0
    timeout_seconds: float = 1.0
    required: bool = True
    """Whether the process is ready only while this component serves."""


@dataclass(frozen=True)
class Component:
    """What is known of one health name; ``last_error`` is kept after recovery."""

    name: str
    serving: bool
    since: datetime
    last_error: str = ""
    required: bool = False


class Health:
    """The health of one process: what its probes found, and whether it is ready because of that.

    ``""``, ``readiness`` and the service's full name say whether calls are welcome: never before ``start``, never
    while draining, and only while every required component serves. ``liveness`` has no dependency. A component is
    kept true either by a probe or by whoever calls ``set``.
    """

    def __init__(self, service: str, probes: Iterable[Probe] = ()) -> None:
        self._ready_names = ("", READINESS, service)
        now = datetime.now(UTC)
        self._components = {name: Component(name, serving=False, since=now) for name in self._ready_names}
        self._components[LIVENESS] = Component(LIVENESS, serving=True, since=now)
        self._probes: dict[str, Probe] = {}
        self._wakes: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watchers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._observers: list[Callable[[], None]] = []
        self._accepting = False
        self._started = False
        self._closed = False
        for probe in probes:
            self._probes[probe.name] = probe

    async def start(self) -> None:
        """Ask every probe once, so that the first verdict is known before any port opens, then go on asking."""
        await asyncio.gather(*(self._ask(probe) for probe in self._probes.values()))
        self._accepting = self._started = True
        self._settle()
        for probe in self._probes.values():
            self._follow(probe)

    async def add(self, probe: Probe) -> None:
        """Ask one more probe from now on; its first verdict is known on return."""
        self._probes[probe.name] = probe
        await self._ask(probe)
        self._follow(probe)

    def remove(self, name: str) -> None:
        """Forget a component; who watches it is told SERVICE_UNKNOWN."""
        self._probes.pop(name, None)
        if task := self._tasks.pop(name, None):
            task.cancel()
        if self._components.pop(name, None):
            self._wake_watchers(name)
            self._settle()

    def probe_now(self, name: str) -> None:
        """Ask a probe at once instead of at its next turn."""
        if wake := self._wakes.get(name):
            wake.set()

    def set(self, name: str, *, serving: bool, error: str = "", required: bool | None = None) -> None:
        """Record the verdict on one component; log and tell the watchers only when it changed."""
        before = self._components.get(name)
        required = required if required is not None else bool(before and before.required)
        after = Component(name, serving, datetime.now(UTC), "" if serving else error, required)
        if before and before.serving == serving:
            after = replace(after, since=before.since)
        if before and not after.last_error:
            after = replace(after, last_error=before.last_error)
        if after == before:
            return
        self._components[name] = after
        if before is None or before.serving != serving:
            level = logging.INFO if serving else logging.WARNING
            log.log(level, "health changed", extra={"component": name, "serving": serving, "reason": error})
            self._wake_watchers(name)
        if name not in self._ready_names:
            self._settle()

    def serving(self, name: str = "") -> bool:
        """Tell the latest verdict; a name nobody registered is not serving."""
        component = self._components.get(name)
        return component is not None and component.serving

    def report(self) -> list[Component]:
        """Tell every component, sorted by name."""
        return [self._components[name] for name in sorted(self._components)]

    def on_change(self, observer: Callable[[], None]) -> None:
        """Call the observer, on the loop, whenever anything in the report changed."""
        self._observers.append(observer)

    def drain(self) -> None:
        """Say for good that no new call is welcome; components and liveness stay true."""
        self._accepting = False
        self._settle()

    async def close(self) -> None:
        """End the probes and every watching stream, so that a server can stop without waiting for them."""
        self._closed = True
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for name in list(self._watchers):
            self._wake_watchers(name)

    async def watch(self, name: str) -> AsyncIterator[int]:
        """Yield the status of a name at once and after every change; a slow reader only misses what is outdated."""
        changed = asyncio.Event()
        self._watchers[name].add(changed)
        told: int | None = None
        try:
            while not self._closed:
                changed.clear()
                status = self.status(name)
                status = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN if status is None else status
                if status != told:
                    told = status
                    yield status
                else:
                    await changed.wait()
        finally:
            self._watchers[name].discard(changed)
            if not self._watchers[name]:
                del self._watchers[name]

    def status(self, name: str) -> int | None:
        """Tell a name's status in the protocol's numbers; None when nobody registered it."""
        component = self._components.get(name)
        if component is None:
            return None
        words = health_pb2.HealthCheckResponse
        return int(words.SERVING if component.serving else words.NOT_SERVING)

    def statuses(self) -> dict[str, int]:
        """Tell every registered name's status in the protocol's numbers."""
        return {name: status for name in self._components if (status := self.status(name)) is not None}

    def _settle(self) -> None:
        missing = sorted(one.name for one in self._components.values() if one.required and not one.serving)
        ready = self._accepting and not missing
        reason = f"not serving: {', '.join(missing)}" if missing else "draining"
        reason = reason if self._started and not ready else ""  # having started is no error to remember
        for name in self._ready_names:
            self.set(name, serving=ready, error=reason)
        for observer in self._observers:
            observer()

    def _wake_watchers(self, name: str) -> None:
        for changed in self._watchers.get(name, ()):
            changed.set()

    def _follow(self, probe: Probe) -> None:
        self._wakes[probe.name] = asyncio.Event()
        if task := self._tasks.get(probe.name):
            task.cancel()
        self._tasks[probe.name] = asyncio.create_task(self._keep_asking(probe), name=f"probe {probe.name}")

    async def _keep_asking(self, probe: Probe) -> None:
        wake = self._wakes[probe.name]
        while True:
            try:
                async with asyncio.timeout(probe.interval_seconds):
                    await wake.wait()
            except TimeoutError:
                pass
            wake.clear()
            await self._ask(probe)

    async def _ask(self, probe: Probe) -> None:
        error = ""
        try:
            async with asyncio.timeout(probe.timeout_seconds):
                await probe.check()
        except TimeoutError:
            error = f"no answer within {probe.timeout_seconds:g} s"
        except Exception as failure:  # noqa: BLE001  any failure of a probe is its answer
            error = str(failure) or type(failure).__name__
        self.set(probe.name, serving=not error, error=error, required=probe.required)


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # that package has no types
    """The standard health service over a ``Health``: Check, Watch and List.

    The stock servicer is not used because it lacks List, keeps ``server.stop`` waiting for its watchers, and lets
    one stuck watcher hold back a change for all (https://github.com/grpc/grpc/issues/41991 for List).
    """

    def __init__(self, health: Health) -> None:
        self._health = health

    async def Check(  # noqa: N802  the protocol's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse],
    ) -> health_pb2.HealthCheckResponse:
        """Answer from memory; an unknown name is NOT_FOUND."""
        status = self._health.status(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802  the protocol's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse],  # noqa: ARG002
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Tell the status at once and after every change; an unknown name is SERVICE_UNKNOWN until it appears."""
        async for status in self._health.watch(request.service):
            yield health_pb2.HealthCheckResponse(status=status)

    async def List(  # noqa: N802  the protocol's name
        self,
        request: health_pb2.HealthListRequest,  # noqa: ARG002
        context: grpc.aio.ServicerContext[health_pb2.HealthListRequest, health_pb2.HealthListResponse],
    ) -> health_pb2.HealthListResponse:
        """Answer every registered name with its status."""
        statuses = self._health.statuses()
        if len(statuses) > MAX_LISTED:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"more than {MAX_LISTED} names")
        return health_pb2.HealthListResponse(
            statuses={name: health_pb2.HealthCheckResponse(status=status) for name, status in statuses.items()}
        )
