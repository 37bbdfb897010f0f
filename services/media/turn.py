"""The TURN server that viewers may use: does it relay, and with which credentials."""

import asyncio
import base64
import hashlib
import hmac
import secrets
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from aioice.stun import TransactionError, TransactionFailed
from aioice.turn import create_turn_endpoint

from services.media.settings import DEMO_CREDENTIAL, MOST_TTL_SECONDS, MediaSettings

DEFAULT_TTL_SECONDS = 3600
ALLOCATE_EVERY_SECONDS = 15.0
WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104  recognised, not bound

_MAGIC = 0x2112A442
_BINDING_REQUEST, _BINDING_RESPONSE = 0x0001, 0x0101


class TurnSilent(Exception):
    """Nothing that speaks STUN answers at the TURN address."""


class TurnRefuses(Exception):
    """The TURN server answers, but does not relay for who has our credentials."""


@dataclass(frozen=True)
class Credentials:
    """What a viewer needs to use the TURN server; ``ttl_seconds`` is 0 when they never expire."""

    username: str
    credential: str
    ttl_seconds: int


def mint(secret: str, suffix: str, ttl_seconds: int, now: float) -> Credentials:
    """Make time-limited credentials from the shared secret, or name the demo pair when there is none."""
    if not secret:
        return Credentials(DEMO_CREDENTIAL, DEMO_CREDENTIAL, 0)
    ttl = min(ttl_seconds, MOST_TTL_SECONDS) if ttl_seconds > 0 else DEFAULT_TTL_SECONDS
    username = f"{int(now) + ttl}:{suffix}" if suffix else f"{int(now) + ttl}"
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return Credentials(username, base64.b64encode(digest).decode(), ttl)


def credentials_of(settings: MediaSettings) -> Credentials:
    """Make the credentials that viewers are given now."""
    secret = settings.turn_secret.get_secret_value()
    return mint(secret, settings.turn_username, settings.turn_ttl_seconds, time.time())


async def ask(host: str, port: int, patience_seconds: float = 0.25) -> None:
    """Ask for a STUN binding over UDP, twice if need be; raises ``TurnSilent`` unless it is answered."""
    target = "127.0.0.1" if host in WILDCARDS else host
    transaction = secrets.token_bytes(12)
    answered = asyncio.get_running_loop().create_future()
    try:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Binding(transaction, answered), remote_addr=(target, port)
        )
        try:
            for _attempt in range(2):
                transport.sendto(struct.pack("!HHI", _BINDING_REQUEST, 0, _MAGIC) + transaction)
                await asyncio.wait({answered}, timeout=patience_seconds)
                if answered.done():
                    await answered
                    return
        finally:
            transport.close()
    except OSError as error:
        raise TurnSilent(f"no TURN server at {target}:{port}: {error.strerror or error}") from None
    raise TurnSilent(f"no TURN server answers at {target}:{port}")


async def allocate(host: str, port: int, credentials: Credentials, patience_seconds: float = 1.0) -> None:
    """Open an allocation over UDP as a viewer would, and give it back; raises ``TurnRefuses``."""
    target = "127.0.0.1" if host in WILDCARDS else host
    try:
        async with asyncio.timeout(patience_seconds):
            transport, ended = await create_turn_endpoint(
                _Relayed, (target, port), credentials.username, credentials.credential
            )
    except TransactionFailed as error:
        code = error.response.attributes.get("ERROR-CODE", (0, ""))[0]
        raise TurnRefuses(f"the TURN server at {target}:{port} refuses our credentials: error {code}") from None
    except (TransactionError, TimeoutError, OSError):
        raise TurnRefuses(f"the TURN server at {target}:{port} answers, but opens no allocation") from None
    transport.close()
    await asyncio.wait({ended.over}, timeout=patience_seconds)


class Watch:
    """Whether the TURN server is of use: asked each time whether it answers, now and then whether it really relays."""

    def __init__(
        self, host: str, port: int, mint_now: Callable[[], Credentials], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._host = host
        self._port = port
        self._mint_now = mint_now
        self._clock = clock
        self._proved_until = float("-inf")

    async def check(self) -> None:
        """Raise ``TurnSilent`` or ``TurnRefuses`` unless it is of use."""
        proved, self._proved_until = self._proved_until, float("-inf")
        await ask(self._host, self._port)
        if self._clock() >= proved:
            await allocate(self._host, self._port, self._mint_now())
            proved = self._clock() + ALLOCATE_EVERY_SECONDS
        self._proved_until = proved


class _Relayed(asyncio.DatagramProtocol):
    """What is at the end of an allocation: nothing, but the knowledge when it is over."""

    def __init__(self) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)


class _Binding(asyncio.DatagramProtocol):
    """Waits for the success response to one binding request."""

    def __init__(self, transaction: bytes, answered: asyncio.Future[None]) -> None:
        self._transaction = transaction
        self._answered = answered

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:  # noqa: ARG002
        head = struct.pack("!I", _MAGIC) + self._transaction
        good = len(data) >= 20 and data[4:20] == head and data[:2] == struct.pack("!H", _BINDING_RESPONSE)
        if good and not self._answered.done():
            self._answered.set_result(None)

    def error_received(self, error: Exception) -> None:
        if not self._answered.done():
            self._answered.set_exception(error)
