"""How much of the gateway clients take, and what is too much: sockets, answers at once, requests a minute."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network

from werkzeug.exceptions import HTTPException, ServiceUnavailable, TooManyRequests

from gateway.bridge import Scope
from gateway.limits import Limits
from gateway.peer import Network, is_trusted, peer

MOST_REMEMBERED_CLIENTS = 16_384

# So many sockets beyond a limit are let in, to answer their probes and to tell the others why they are refused.
STANDING_ROOM = 128


LIMITS = ("sockets", "answers", "rate", "head", "stall")


@dataclass
class Usage:
    """Counts what clients take and says what is too much; an answer is given within ``with usage:``.

    A client is the socket's peer, or whom a trusted proxy names; of IPv6 its network, since a host has 2^64 addresses.
    A proxy's own sockets are many clients', so they are only counted in total.
    """

    limits: Limits = field(default_factory=Limits)
    trusted: Collection[Network] = ()
    clock: Callable[[], float] = time.monotonic
    sockets: int = 0
    answers: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    _sockets_of: dict[str, int] = field(default_factory=dict)
    _allowances: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def open(self, host: str) -> int:
        """Count a socket, which must be closed; tell by how many the limits are now passed by its client, or by all."""
        client, limits = _client(host), self.limits
        self.sockets += 1
        of_client = self._sockets_of[client] = self._sockets_of.get(client, 0) + 1
        excess = self.sockets - limits.sockets
        if not limits.sockets_per_client or (self.trusted and is_trusted(host, self.trusted)):
            return excess
        return max(excess, of_client - limits.sockets_per_client)

    def close(self, host: str) -> None:
        """Forget a socket."""
        client = _client(host)
        self.sockets -= 1
        left = self._sockets_of[client] - 1
        if left:
            self._sockets_of[client] = left
        else:
            del self._sockets_of[client]

    def too_many_sockets(self) -> HTTPException:
        """Return what a socket beyond the limits is told."""
        self.refusals["sockets"] += 1
        if self.sockets > self.limits.sockets:
            return ServiceUnavailable("Server at capacity", retry_after=1)
        return TooManyRequests("Too many connections from this address", retry_after=1)

    def refusal(self, scope: Scope) -> HTTPException | None:
        """Return what speaks against one more answer, if anything does; otherwise count the request."""
        if self.answers >= self.limits.answers:
            self.refusals["answers"] += 1
            return ServiceUnavailable("Server at capacity", retry_after=1)
        if self.limits.requests_per_minute and (seconds := self._seconds_to_wait(self._caller(scope))):
            self.refusals["rate"] += 1
            return TooManyRequests("Too many requests", retry_after=seconds)
        return None

    def __enter__(self) -> None:
        """Count an answer while it is given."""
        self.answers += 1

    def __exit__(self, *_raised: object) -> None:
        """Forget it."""
        self.answers -= 1

    def _caller(self, scope: Scope) -> str:
        host = scope["client"][0] if scope.get("client") else ""
        if not self.trusted:
            return host
        forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
        return peer(host, forwarded.decode("latin-1"), self.trusted)

    def _seconds_to_wait(self, host: str) -> int:
        """Take one of a minute's requests, which come back one by one; with none left tell when there will be one."""
        most, now, client = self.limits.requests_per_minute, self.clock(), _client(host)
        left, at = self._allowances.pop(client, (float(most), now))
        left = min(most, left + (now - at) * most / 60)
        waiting = 0 if left >= 1 else max(1, round((1 - left) * 60 / most + 0.5))
        self._allowances[client] = (left if waiting else left - 1, now)
        if len(self._allowances) > MOST_REMEMBERED_CLIENTS:
            self._allowances.popitem(last=False)  # who has not asked for longest has most of a minute's requests again
        return waiting


def _client(host: str) -> str:
    if ":" not in host:
        return host
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)
