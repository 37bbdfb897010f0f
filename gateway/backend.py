"""One backend as a façade sees it: what is known of it, and calls to it in plain blocking style."""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from contextlib import suppress
from typing import Any, Generic, TypeVar

import grpc

from gateway import bridge, channel
from gateway.errors import BackendError
from gateway.monitor import Monitor, Picture, Replica
from runtime import logs
from runtime.tls import CertificateFiles

Stub = TypeVar("Stub")
Response = TypeVar("Response")

Unary = Callable[..., Awaitable[Response]]
Streaming = Callable[..., Any]
"""A stub's method that answers a stream; its call object is what grpc.aio makes it."""


LONGEST_CALL_SECONDS = 600.0
CONNECT_SECONDS = 3.0
LOOK_SECONDS = 0.02


class Backend(Generic[Stub]):
    """Calls to one backend, each with a deadline, over one balanced channel made on the running loop."""

    def __init__(
        self,
        name: str,
        target: str,
        stub: Callable[[grpc.aio.Channel], Stub],
        monitor: Monitor,
        certificates: CertificateFiles | None = None,
    ) -> None:
        self.name = name
        self._monitor = monitor
        self._loop = asyncio.get_running_loop()
        self._target, self._make_stub, self._certificates = target, stub, certificates
        self.sockets = 0
        """WebSockets that are carried to it now."""
        self._direct: dict[str, grpc.aio.Channel] = {}
        self._place = ""
        self._open()

    def _open(self) -> None:
        self._channel = channel.open_balanced(self._target, self._certificates)
        self.stub = self._make_stub(self._channel)

    async def follow(self, certificates: CertificateFiles, interval_seconds: float = 10.0) -> None:
        """Go over to a new channel whenever the files change; running calls end on the old one.

        A channel keeps the certificate it was opened with, which would be refused once that has expired.
        """
        async for _ in certificates.changes(interval_seconds):
            before = [self._channel, *self._direct.values()]
            self._direct.clear()
            self._open()
            await asyncio.gather(*(one.close(LONGEST_CALL_SECONDS) for one in before))

    @property
    def picture(self) -> Picture:
        """What the monitor knows now."""
        return self._monitor.picture(self.name)

    def pictures(
        self, longest_silence_seconds: float | None = None, shortest_silence_seconds: float = 0.0
    ) -> Iterator[Picture]:
        """Yield the picture at once and again whenever any picture changed; silences as of ``Monitor.changes``."""
        changes = self._monitor.changes(longest_silence_seconds, shortest_silence_seconds)
        for _ in bridge.iterate(changes, self._loop):
            yield self.picture

    def call(self, method: Unary[Response], request: Any, timeout_seconds: float) -> Response:  # noqa: ANN401  each stub method fits its own request
        """Call a unary method; raises ``BackendError``, at once when the backend is known to be unreachable."""
        return bridge.wait(self.call_async(method, request, timeout_seconds), self._loop)

    async def call_async(self, method: Unary[Response], request: Any, timeout_seconds: float) -> Response:  # noqa: ANN401  as above
        """Do the same for a coroutine on the gateway's loop."""
        return await self._reached(lambda: method(request, timeout=timeout_seconds, metadata=metadata()))

    def call_each(self, name: str, request: object, timeout_seconds: float) -> dict[str, Any]:
        """Call a unary method, by its name, of every replica that answers, for what each knows only of itself.

        Returns answers by address; a replica that failed has its ``BackendError`` there. Raises one if none answers.
        """
        self._require_reachable()
        reachable = [replica.address for replica in self.picture.replicas if replica.reachable]
        return bridge.wait(self._call_each(reachable, name, request, timeout_seconds), self._loop)

    async def _call_each(
        self, addresses: Iterable[str], name: str, request: object, timeout_seconds: float
    ) -> dict[str, Any]:
        async def ask(address: str) -> Any:  # noqa: ANN401  each method has its own answer
            async with channel.open_direct(address, self._target, self._certificates) as direct:
                method = getattr(self._make_stub(direct), name)
                try:
                    return await method(request, timeout=timeout_seconds, metadata=metadata())
                except grpc.aio.AioRpcError as error:
                    return _translated(error)

        asked = list(addresses)
        return dict(zip(asked, await asyncio.gather(*map(ask, asked)), strict=True))

    def call_at(self, address: str, name: str, request: object, timeout_seconds: float) -> Any:  # noqa: ANN401  each method has its own answer
        """Call a unary method, by its name, of one replica; raises ``BackendError``."""
        return bridge.wait(self._call_at(address, name, request, timeout_seconds), self._loop)

    async def _call_at(self, address: str, name: str, request: object, timeout_seconds: float) -> Any:  # noqa: ANN401  as above
        if not any(replica.address == address and replica.reachable for replica in self.picture.replicas):
            raise BackendError(grpc.StatusCode.UNAVAILABLE, f"the replica of {self.name} cannot be reached")
        method = getattr(await self._stub_at(address), name)
        try:
            return await method(request, timeout=timeout_seconds, metadata=metadata())
        except grpc.aio.AioRpcError as error:
            raise _translated(error) from None

    async def _stub_at(self, address: str) -> Stub:
        """Return a stub of one replica over a channel that stays open while the replica is known."""
        for gone in self._direct.keys() - {replica.address for replica in self.picture.replicas}:
            await self._direct.pop(gone).close()
        if address not in self._direct:
            self._direct[address] = channel.open_direct(address, self._target, self._certificates)
        return self._make_stub(self._direct[address])

    async def meeting_place(
        self, patience_seconds: float, rank: Callable[[tuple[Replica, ...]], list[str]] = lambda _replicas: []
    ) -> Stub:
        """Return a stub of the one replica where clients meet each other, waiting for one if none can be reached.

        It stays the same while it can be reached and serves, or none does: it also takes calls while it is not
        ready. ``rank`` says which to prefer, by address, where one has to be chosen. Raises ``BackendError`` when there
        is none in time.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_seconds):
                async for _ in self._monitor.changes():
                    if self.picture.reachable:
                        break
        self._require_reachable()
        known = {replica.address: replica for replica in self.picture.replicas if replica.reachable}
        places = dict.fromkeys([self._place, *rank(self.picture.replicas), *sorted(known)])
        self._place = min((at for at in places if at in known), key=lambda at: not known[at].serving())
        return await self._stub_at(self._place)

    def stream_at(self, address: str, name: str, request: Any, timeout_seconds: float) -> Generator[Any, None, None]:  # noqa: ANN401  as above
        """Do what ``stream`` does with a method, by its name, of one replica."""
        stub = bridge.wait(self._stub_at(address), self._loop)
        yield from self.stream(getattr(stub, name), request, timeout_seconds)

    def stream(self, method: Streaming, request: Any, timeout_seconds: float) -> Generator[Any, None, None]:  # noqa: ANN401  as above
        """Yield what a streaming method answers; raises ``BackendError``; closing the generator cancels the call."""
        answers = _Answers(method, request, timeout_seconds)
        try:
            answer = bridge.wait(self._reached(answers.first), self._loop)
            while answer is not None:
                yield answer
                answer = bridge.wait(answers.next(), self._loop)
        finally:
            self._loop.call_soon_threadsafe(answers.cancel)

    async def close(self) -> None:
        """Close every channel."""
        for one in (self._channel, *self._direct.values()):
            await one.close()

    async def _reached(self, attempt: Callable[[], Awaitable[Response]]) -> Response:
        """Return what an attempt brings, or a second one if a replica was lost while another serves."""
        self._require_reachable()
        await self._connected()
        try:
            return await attempt()
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or not await self._connected():
                raise _translated(error) from None
        try:
            return await attempt()
        except grpc.aio.AioRpcError as error:
            raise _translated(error) from None

    async def _connected(self) -> bool:
        """Wait until the channel has a replica that the monitor already sees serving; tell whether it has.

        Each connects at its own pace. A rollout that goes on as soon as the monitor sees the new replica would take
        away the only one the channel knows.
        """
        until = self._loop.time() + CONNECT_SECONDS
        while self._channel.get_state(try_to_connect=True) is not grpc.ChannelConnectivity.READY:
            if not self.picture.serving() or self._loop.time() > until:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True

    def _require_reachable(self) -> None:
        # A frozen peer would hold a call in the connecting channel until its deadline.
        if not self.picture.reachable:
            raise BackendError(grpc.StatusCode.UNAVAILABLE, f"{self.name} cannot be reached")


class _Answers:
    """The answers of one streaming call, which begins, on its loop, when the first one is asked for."""

    def __init__(self, method: Streaming, request: object, timeout_seconds: float) -> None:
        self._method: Callable[..., Any] = method
        self._request = request
        self._timeout_seconds = timeout_seconds
        self._call: Any = None

    async def first(self) -> Any:  # noqa: ANN401  whatever the method answers
        self._call = self._method(self._request, timeout=self._timeout_seconds, metadata=metadata())
        return await self._read()

    async def next(self) -> Any:  # noqa: ANN401  as above
        try:
            return await self._read()
        except grpc.aio.AioRpcError as error:
            raise _translated(error) from None

    async def _read(self) -> Any:  # noqa: ANN401  as above
        answer = await self._call.read()
        return None if answer is grpc.aio.EOF else answer

    def cancel(self) -> None:
        if self._call is not None:
            self._call.cancel()


def metadata() -> tuple[tuple[str, str], ...]:
    """Tell what goes with every call."""
    request_id = logs.request_id.get()
    return (("x-request-id", request_id),) if request_id else ()


def _translated(error: grpc.aio.AioRpcError) -> BackendError:
    return BackendError(error.code(), error.details() or "")
