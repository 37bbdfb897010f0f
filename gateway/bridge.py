"""Run a WSGI application on the event loop, each request in a greenlet that parks on what it waits for."""

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextvars import copy_context
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from greenlet import getcurrent, greenlet
from werkzeug.exceptions import RequestTimeout

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Scope = dict[str, Any]
Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Result = TypeVar("Result")

ROUTE = "pulsegate.route"  # the application notes here, in the scope, the template of the route it chose
SCOPE = "pulsegate.scope"  # where a WSGI application finds the ASGI scope
REFUSED = "pulsegate.refused"  # in the scope: the exception the application shall answer with, whatever was asked

# A client that leaves is looked for only once an answer takes this long: the look-out costs more than most answers.
LOOK_OUT_SECONDS = 0.05

# A body has its time, and more of it for every byte that came: a slow line is no attack, a few bytes a second are.
SLOWEST_BYTES_PER_SECOND = 10_000

# After an answer to a body that was not read, so that the client, still sending, reads the answer before the end.
LINGER_SECONDS = 1.0

# Up to here an answer of known length is put together and sent at once.
WHOLE_BYTES = 256 * 1024

_BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})


class ClientLeft(Exception):
    """The client closed its connection before the request was whole."""


class _Request(greenlet):
    """The greenlet of one request; its parent is the event loop's own."""

    def __init__(self, run: Callable[[], Any]) -> None:
        super().__init__(run)
        self.gr_context = copy_context()


def wait(coroutine: Coroutine[Any, Any, Result], loop: asyncio.AbstractEventLoop) -> Result:
    """Wait in blocking style for a coroutine that belongs to ``loop``.

    In a request's greenlet the loop goes on meanwhile. In a thread, as under any WSGI server, the thread blocks.
    """
    current = getcurrent()
    if isinstance(current, _Request) and current.parent is not None:
        return current.parent.switch(coroutine)  # type: ignore[no-any-return]  # what the loop sends back is the result
    if asyncio._get_running_loop() is loop:  # noqa: SLF001  the only look-up that does not raise
        coroutine.close()
        raise RuntimeError("a view outside its greenlet would wait on its own loop for ever")
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


def iterate(source: AsyncIterator[Result], loop: asyncio.AbstractEventLoop) -> Iterator[Result]:
    """Yield in blocking style what an asynchronous iterator yields."""
    while True:
        try:
            item = wait(_next(source), loop)
        except StopAsyncIteration:
            return
        yield item


async def _next(source: AsyncIterator[Result]) -> Result:
    return await anext(source)


async def _drive(run: Callable[[], Result]) -> Result:
    """Run a function in a greenlet, awaiting for it whatever it parks on.

    A cancelled task raises ``CancelledError`` inside the function, where it waits.
    """
    request = _Request(run)
    parked = request.switch()
    while not request.dead:
        try:
            value = await parked
        except BaseException:  # noqa: BLE001  handed to the function, which decides
            parked = request.throw(*sys.exc_info())
        else:
            parked = request.switch(value)
    return parked  # type: ignore[no-any-return]  # a dead greenlet hands back what its function returned


class Bridge:
    """One WSGI application as an ASGI application.

    A body above ``max_body_bytes`` is not read: the application sees its length and refuses it in its own words.
    """

    def __init__(self, application: Wsgi, max_body_bytes: int, body_seconds: float = 30.0) -> None:
        self._application = application
        self._max_body_bytes = max_body_bytes
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that leaves cancels whatever the view waits for."""
        body, whole = b"", True
        if any(name in _BODY_HEADERS for name, _ in scope["headers"]):
            try:
                async with asyncio.timeout(self._body_seconds) as deadline:
                    body, whole = await self._read(scope, receive, deadline)
            except ClientLeft:
                return
            except TimeoutError:
                whole = False
                scope[REFUSED] = RequestTimeout("The request did not come whole in time")
        answer = _Answer(self._application, environ(scope, body), send, asyncio.get_running_loop(), close=not whole)
        look_out = _LookOut(receive)
        try:
            for event in await _drive(answer.run):
                await send(event)
        except asyncio.CancelledError:
            if not look_out.client_left:
                raise
        finally:
            look_out.stop()

    async def _read(self, scope: Scope, receive: Receive, deadline: asyncio.Timeout) -> tuple[bytes, bool]:
        chunks: list[bytes] = []
        size = 0
        if REFUSED in scope or _content_length(scope) > self._max_body_bytes:
            return b"", False
        while True:
            event = await receive()
            if event["type"] != "http.request":
                raise ClientLeft
            chunks.append(event.get("body", b""))
            size += len(chunks[-1])
            if size > self._max_body_bytes:
                return b"".join(chunks), False
            if not event.get("more_body", False):
                return b"".join(chunks), True
            deadline.reschedule((deadline.when() or 0.0) + len(chunks[-1]) / SLOWEST_BYTES_PER_SECOND)


class _LookOut:
    """Cancels the task that made it when the client leaves."""

    def __init__(self, receive: Receive) -> None:
        self.client_left = False
        self._receive = receive
        self._task: asyncio.Task[None] | None = None
        self._answering = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(LOOK_OUT_SECONDS, self._start)

    def stop(self) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.client_left = True
        if self._answering is not None:
            self._answering.cancel()


class _Answer:
    """The way of one WSGI answer to the client."""

    def __init__(
        self, application: Wsgi, environment: Environ, send: Send, loop: asyncio.AbstractEventLoop, *, close: bool
    ) -> None:
        self._application = application
        self._environ = environment
        self._send = send
        self._loop = loop
        self._close = close
        self._status = 500
        self._headers: list[tuple[bytes, bytes]] = []

    def run(self) -> list[Event]:
        """Call the application and send what is not known to be small chunk by chunk; return what is left."""
        chunks = self._application(self._environ, self._start_response)
        try:
            if any(name == b"content-length" and int(value) <= WHOLE_BYTES for name, value in self._headers):
                body = b"".join(chunks)
                if not self._close:
                    return [self._start(), {"type": "http.response.body", "body": body}]
                wait(self._send_and_linger(body), self._loop)
                return [{"type": "http.response.body", "body": b""}]
            started = False
            for chunk in chunks:
                wait(self._send_chunk(chunk, start=not started), self._loop)
                started = True
            return [*([] if started else [self._start()]), {"type": "http.response.body", "body": b""}]
        finally:
            if close := getattr(chunks, "close", None):
                close()

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], _exc_info: object = None
    ) -> Callable[[bytes], object]:
        self._status = int(status[:3])
        self._headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        if self._close:
            self._headers.append((b"connection", b"close"))  # the rest of the body is never read
        return lambda _chunk: None

    async def _send_and_linger(self, body: bytes) -> None:
        await self._send(self._start())
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        await asyncio.sleep(LINGER_SECONDS)  # the look-out reads on

    async def _send_chunk(self, chunk: bytes, *, start: bool) -> None:
        if start:
            await self._send(self._start())
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    def _start(self) -> Event:
        return {"type": "http.response.start", "status": self._status, "headers": self._headers}


def environ(scope: Scope, body: bytes) -> Environ:
    """Write an ASGI scope down as a WSGI environment; the peer is the socket's, whatever a header claims."""
    root = scope.get("root_path", "")
    path = unquote_to_bytes(scope["raw_path"]).decode("latin-1")
    server_host, server_port = scope["server"]
    environment: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root,
        "PATH_INFO": path[len(root) :],
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server_host,
        "SERVER_PORT": str(server_port),
        "REMOTE_ADDR": scope["client"][0] if scope.get("client") else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        SCOPE: scope,
    }
    for raw_name, raw_value in scope["headers"]:
        key = _variable(raw_name)
        if key in {"HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_LENGTH"}:
            continue
        value = raw_value.decode("latin-1")
        environment[key] = f"{environment[key]},{value}" if key in environment else value
    length = max(len(body), _content_length(scope))
    if length:
        environment["CONTENT_LENGTH"] = str(length)
    return environment


@lru_cache(maxsize=256)
def _variable(header: bytes) -> str:
    name = header.decode("latin-1").upper().replace("-", "_")
    return name if name == "CONTENT_TYPE" else f"HTTP_{name}"


def _content_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
