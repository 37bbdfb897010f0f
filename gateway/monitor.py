"""The live picture of every backend replica, kept by watching, never by asking during a request."""

import asyncio
import logging
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway import channel, replicas
from runtime.tls import CertificateFiles

READINESS = ""
LIVENESS = "liveness"
FIRST_RETRY_SECONDS = 0.1
LAST_RETRY_SECONDS = 1.0

_WRAPPING = re.compile(r"^failed to connect to all addresses; last error: (UNKNOWN: )?(ipv[46]:\S+: )?")

log = logging.getLogger(__name__)

WatchStatus = Callable[[grpc.aio.Channel], AsyncIterable[Any]]
"""Opens the status stream of a backend on a channel."""


@dataclass(frozen=True)
class Word:
    """The last word on one health name of one replica."""

    status: str
    since: datetime


@dataclass(frozen=True)
class Replica:
    """What is known of one replica; ``last_error`` is kept after recovery."""

    address: str
    reachable: bool = False
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    last_error: str = ""
    words: Mapping[str, Word] = field(default_factory=dict)
    status: Message | None = None
    check_seconds: float | None = field(default=None, compare=False)
    judged: bool = False

    def serving(self, name: str = READINESS) -> bool:
        """Tell whether the replica can be reached and says that the name is SERVING."""
        word = self.words.get(name)
        return self.reachable and word is not None and word.status == "SERVING"

    @property
    def state(self) -> str:
        """All of that in one word: unknown, unreachable, serving or not_serving."""
        return _state(self)


@dataclass(frozen=True)
class Picture:
    """What is known of one backend: any replica that serves makes it serve."""

    name: str
    replicas: tuple[Replica, ...]

    @property
    def reachable(self) -> bool:
        """Whether any replica answers."""
        return any(replica.reachable for replica in self.replicas)

    @property
    def judged(self) -> bool:
        """Whether there is a first verdict on every replica, whatever it is."""
        return bool(self.replicas) and all(replica.judged for replica in self.replicas)

    def serving(self, name: str = READINESS) -> bool:
        """Tell whether any replica serves the name."""
        return any(replica.serving(name) for replica in self.replicas)

    @property
    def state(self) -> str:
        """All of that in one word: unknown, unreachable, serving or not_serving."""
        return _state(self)

    def statuses(self) -> list[Any]:
        """Tell the status documents of the replicas that can be reached, those that serve first."""
        known = [replica for replica in self.replicas if replica.reachable and replica.status is not None]
        return [replica.status for replica in sorted(known, key=lambda replica: not replica.serving())]


@dataclass(frozen=True)
class Watched:
    """A backend to keep a picture of."""

    name: str
    target: str
    names: tuple[str, ...]
    watch_status: WatchStatus


class Monitor:
    """Watches every replica of every backend and tells who asks, without a call.

    ``version`` rises with every change of any picture. A replica is reachable while its streams live and it answered
    a check within ``freshness_seconds``: streams alone would not show a process whose own loop is stuck.
    """

    def __init__(
        self,
        backends: Iterable[Watched],
        freshness_seconds: float = 2.0,
        resolve_seconds: float = 2.0,
        resolve: Callable[[str], Awaitable[list[str]]] = replicas.resolve,
        certificates: CertificateFiles | None = None,
    ) -> None:
        self.version = 0
        self.transitions: Counter[tuple[str, str]] = Counter()
        self._freshness_seconds = freshness_seconds
        self._resolve_seconds = resolve_seconds
        self._resolve = resolve
        self._certificates = certificates
        self._backends = {backend.name: backend for backend in backends}
        self._replicas: dict[str, dict[str, Replica]] = {name: {} for name in self._backends}
        self._pictures: dict[str, Picture] = {}
        self._changed = asyncio.Event()
        self._ended = False
        self._observers: list[Callable[[Picture], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._followed: dict[tuple[str, str], asyncio.Task[None]] = {}

    def start(self) -> None:
        """Begin to watch, on the running loop."""
        self._tasks = [asyncio.create_task(self._keep_resolving(backend)) for backend in self._backends.values()]

    async def close(self) -> None:
        """Stop watching."""
        tasks = [*self._tasks, *self._followed.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def pictures(self) -> list[Picture]:
        """Tell what is known of every backend."""
        return [self.picture(name) for name in self._backends]

    def picture(self, name: str) -> Picture:
        """Tell what is known of one backend; the same object until something is new."""
        picture = self._pictures.get(name)
        if picture is None:
            picture = self._pictures[name] = Picture(name, tuple(self._replicas[name].values()))
        return picture

    def judged(self) -> bool:
        """Tell whether there is a first verdict on every backend, whatever it is."""
        return all(picture.judged for picture in self.pictures())

    def on_change(self, observer: Callable[[Picture], None]) -> None:
        """Call the observer, on the loop, with the new picture of a backend at every change."""
        self._observers.append(observer)

    async def changes(
        self, longest_silence_seconds: float | None = None, shortest_silence_seconds: float = 0.0
    ) -> AsyncIterator[int]:
        """Yield the version at once and whenever it has risen; a slow reader misses only what is outdated.

        It is also yielded after the longest silence, because latencies and counts are no change, and never before
        the shortest has passed, so that a flapping backend costs no more than it must.
        """
        told = -1
        while not self._ended:
            if told == self.version:
                with suppress(TimeoutError):
                    async with asyncio.timeout(longest_silence_seconds):
                        await self._changed.wait()
            told = self.version
            yield told
            await asyncio.sleep(shortest_silence_seconds)

    def end_changes(self) -> None:
        """Let everyone who follows the changes come to an end."""
        self._ended = True
        self._wake()

    async def _keep_resolving(self, backend: Watched) -> None:
        while True:
            try:
                self._expect(backend, await self._resolve(backend.target))
            except OSError as error:  # what was found before stays: a name server may fail, replicas do not follow it
                if not self._followed_of(backend):
                    reason = f"cannot resolve {backend.target}: {error.strerror or error}"
                    self._replicas[backend.name].setdefault(backend.target, Replica(backend.target))
                    self._record(backend, Replica(backend.target, last_error=reason, judged=True))
            if replicas.is_fixed(backend.target):
                return
            await asyncio.sleep(self._resolve_seconds)

    def _expect(self, backend: Watched, addresses: list[str]) -> None:
        """Follow replicas that are new, forget those that are gone."""
        known = self._replicas[backend.name]
        gone = known.keys() - set(addresses)
        for address in gone:
            del known[address]
            if task := self._followed.pop((backend.name, address), None):
                task.cancel()
        for address in [address for address in addresses if address not in known]:
            known[address] = Replica(address)
            self._followed[backend.name, address] = asyncio.create_task(self._follow(backend, address))
        if gone:
            self._tell(backend)

    def _followed_of(self, backend: Watched) -> list[str]:
        return [address for name, address in self._followed if name == backend.name]

    async def _follow(self, backend: Watched, address: str) -> None:
        retry_seconds = FIRST_RETRY_SECONDS
        while True:
            sighting = _Sighting(backend, address, self._freshness_seconds, self._record)
            try:
                async with channel.open_direct(address, backend.target, self._certificates) as direct:
                    error = await sighting.last(direct)
            except OSError as unreadable:  # a certificate that is just being replaced
                error = f"certificate {unreadable.filename}: {unreadable.strerror}"
            if sighting.complete:
                retry_seconds = FIRST_RETRY_SECONDS
            self._record(backend, Replica(address, last_error=error, judged=True))
            await asyncio.sleep(retry_seconds * random.uniform(0.5, 1.0))  # noqa: S311  spreads retries, hides nothing
            retry_seconds = min(2 * retry_seconds, LAST_RETRY_SECONDS)

    def _record(self, backend: Watched, after: Replica) -> None:
        before = self._replicas[backend.name][after.address]
        same = before.judged and before.reachable == after.reachable
        after = replace(
            after,
            since=before.since if same else datetime.now(UTC),
            last_error=after.last_error or before.last_error,
        )
        self._replicas[backend.name][after.address] = after
        self._pictures.pop(backend.name, None)
        if after == before:
            return
        if (before.reachable, before.serving(), before.judged) != (after.reachable, after.serving(), after.judged):
            self.transitions[backend.name, after.address] += 1
            log.log(
                logging.INFO if after.serving() else logging.WARNING,
                "backend changed",
                extra={
                    "backend": backend.name,
                    "address": after.address,
                    "reachable": after.reachable,
                    "serving": after.serving(),
                    "reason": "" if after.serving() else after.last_error,
                },
            )
        self._tell(backend)

    def _tell(self, backend: Watched) -> None:
        self.version += 1
        for observer in self._observers:
            observer(self.picture(backend.name))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class _Sighting:
    """One connection to one replica, from its first word to its loss."""

    def __init__(
        self,
        backend: Watched,
        address: str,
        freshness_seconds: float,
        record: Callable[[Watched, Replica], None],
    ) -> None:
        self._backend = backend
        self._freshness_seconds = freshness_seconds
        self._tell = record
        self._names = (READINESS, LIVENESS, *backend.names)
        self._replica = Replica(address, reachable=True, judged=True)
        self._last_answer = time.monotonic()

    @property
    def complete(self) -> bool:
        """Whether every stream has spoken; before that nothing is told, so that no half picture flickers."""
        replica = self._replica
        return (
            replica.status is not None and replica.check_seconds is not None and len(replica.words) == len(self._names)
        )

    async def last(self, direct: grpc.aio.Channel) -> str:
        """Tell what is seen until something is lost; return what that was."""
        stub = health_pb2_grpc.HealthStub(direct)
        tasks = [
            asyncio.create_task(self._check(stub)),
            asyncio.create_task(self._watch_status(direct)),
            *(asyncio.create_task(self._watch_health(stub, name)) for name in self._names),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch_health(self, stub: health_pb2_grpc.HealthStub, name: str) -> str:
        try:
            async for answer in stub.Watch(health_pb2.HealthCheckRequest(service=name)):
                status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
                words = {**self._replica.words, name: Word(status, datetime.now(UTC))}
                self._see(replace(self._replica, words=words))
        except grpc.aio.AioRpcError as error:
            return _reason(error)
        return "the health stream ended"

    async def _watch_status(self, direct: grpc.aio.Channel) -> str:
        try:
            async for answer in self._backend.watch_status(direct):
                self._see(replace(self._replica, status=answer.status))
        except grpc.aio.AioRpcError as error:
            return _reason(error)
        return "the status stream ended"

    async def _check(self, stub: health_pb2_grpc.HealthStub) -> str:
        request = health_pb2.HealthCheckRequest(service=LIVENESS)
        while True:
            asked = time.monotonic()
            try:
                await stub.Check(request, timeout=self._freshness_seconds / 2)
                self._last_answer = time.monotonic()
                self._see(replace(self._replica, check_seconds=self._last_answer - asked))
                await asyncio.sleep(self._freshness_seconds / 4)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                    return _reason(error)
            if time.monotonic() - self._last_answer > self._freshness_seconds:
                return f"no answer for {self._freshness_seconds:g} s"

    def _see(self, replica: Replica) -> None:
        self._replica = replica
        if self.complete:
            self._tell(self._backend, replica)


def _state(seen: Replica | Picture) -> str:
    if not seen.judged:
        return "unknown"
    if not seen.reachable:
        return "unreachable"
    return "serving" if seen.serving() else "not_serving"


def _reason(error: grpc.aio.AioRpcError) -> str:
    """Tell why a call failed, without the wrapping in which the last of several addresses is reported."""
    return f"{error.code().name.lower()}: {_WRAPPING.sub('', error.details() or 'no reason given')}"
