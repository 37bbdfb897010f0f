"""Answers to probes, remembered for as long as they are true."""

import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

from gateway.bridge import Event, Scope, Send
from gateway.peer import is_loopback

RAW_REQUEST = "pulsegate.raw_request"  # the ASGI extension under which the listener's protocol hands it on
MOST_RAW_ANSWERS = 1024
_BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding", b"expect"})


Address = tuple[str, int]
Key = tuple[Address, bytes, bool]
"""The listener, the path as it was sent, and whether the peer is loopback."""
RawKey = tuple[tuple[Address, bool], bytes]
"""The listener, whether the peer is loopback, and the request as it was sent."""


@dataclass(frozen=True)
class RawAnswer:
    """An HTTP answer as it goes over the wire."""

    data: bytes
    close: bool


@dataclass
class Snapshots:
    """Answers kept while neither the monitor's version nor the second has moved.

    They are bytes the Flask view itself rendered; the front only remembers them: under what decided them, and under
    the raw request for whoever sends exactly those bytes again. Both are counted by listening port.
    """

    version: Callable[[], int]
    clock: Callable[[], float] = time.time
    hits: Counter[int] = field(default_factory=Counter)
    renderings: Counter[int] = field(default_factory=Counter)
    _at: tuple[int, int] = (-1, -1)
    _answers: dict[Key, list[Event]] = field(default_factory=dict)
    _raw_answers: dict[RawKey, RawAnswer] = field(default_factory=dict)

    def get(self, key: Key) -> list[Event] | None:
        """Return the answer's events if they are still true."""
        self._drop_outdated()
        answer = self._answers.get(key)
        if answer is not None:
            self.hits[key[0][1]] += 1
        return answer

    def get_raw(self, request: RawKey) -> RawAnswer | None:
        """Return the answer to the same bytes if it is still true."""
        self._drop_outdated()
        answer = self._raw_answers.get(request)
        if answer is not None:
            self.hits[request[0][0][1]] += 1
        return answer

    def keeper(self, key: Key, scope: Scope, send: Send) -> Send:
        """Pass events on to ``send`` and remember them, unless the picture changed while they were made."""
        self._drop_outdated()
        self.renderings[key[0][1]] += 1
        at, events = self._at, list[Event]()

        async def keep(event: Event) -> None:
            events.append(event)
            await send(event)
            whole = event["type"] == "http.response.body" and not event.get("more_body", False)
            if whole and at == self._now():
                self._answers[key] = events
                self.keep_raw(scope, events)

        return keep

    def keep_raw(self, scope: Scope, events: list[Event]) -> None:
        """Remember an answer under the bytes that asked for it, where the listener's protocol handed them on."""
        request = scope.get("extensions", {}).get(RAW_REQUEST)
        if request is not None and scope["http_version"] == "1.1" and len(self._raw_answers) < MOST_RAW_ANSWERS:
            self._raw_answers[request] = _written(events, close=_wants_close(scope))

    def _now(self) -> tuple[int, int]:
        return self.version(), int(self.clock())

    def _drop_outdated(self) -> None:
        now = self._now()
        if now != self._at:
            self._at = now
            self._answers.clear()
            self._raw_answers.clear()


def key_of(scope: Scope, paths: Collection[str], headers: Collection[bytes]) -> Key | None:
    """Name the remembered answer a request may get; None when the view would look at something in the request.

    ``paths`` are those that have such answers, ``headers`` those their views look at.
    """
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    if scope["method"] != "GET" or scope["query_string"] or path not in paths:
        return None
    if any(name in headers or name in _BODY_HEADERS for name, _ in scope["headers"]):
        return None
    client = scope.get("client")
    return scope["server"], scope["raw_path"], bool(client and is_loopback(client[0]))


def _written(events: list[Event], *, close: bool) -> RawAnswer:
    """Write an answer down as uvicorn would."""
    start, *bodies = events
    headers = [(b"date", formatdate(usegmt=True).encode()), *start["headers"]]
    if close:
        headers.append((b"connection", b"close"))
    lines = [b"HTTP/1.1 %d %s" % (start["status"], HTTPStatus(start["status"]).phrase.encode())]
    lines += [b"%s: %s" % header for header in headers]
    body = b"".join(event.get("body", b"") for event in bodies)
    return RawAnswer(b"\r\n".join([*lines, b"", body]), close)


def _wants_close(scope: Scope) -> bool:
    return any(name == b"connection" and b"close" in value.lower() for name, value in scope["headers"])
