"""Who may call which route of the LLM proxy: the documented matrix of key, loopback and route."""

import hashlib
import hmac

from flask import request
from werkzeug.exceptions import Forbidden, Unauthorized

from gateway.peer import is_loopback, peer
from gateway.settings import GatewaySettings

OPERATORS = ("/status", "/usage")
"""What is for this machine or for whoever has a key."""


class Access:
    """Judges the request at hand."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._key = settings.llmproxy_key.get_secret_value().encode()
        self._trusted = settings.trusted_proxies
        self._client = fingerprint(self._key) if self._key else "local"

    def require(self) -> None:
        """Refuse a caller who may not have this route; only ``/`` and ``/health`` are for everybody."""
        path = request.path
        if path in OPERATORS or path.startswith(tuple(f"{one}/" for one in OPERATORS)):
            if not (self._local() or self._has_key()):
                raise Unauthorized("Invalid or missing API key")
        elif path.startswith(("/v1/", "/providers")):
            if self._key:
                if not self._has_key():
                    raise Unauthorized("Invalid API key")
            elif not self._local():
                raise Forbidden("API access is restricted to localhost when no API key is configured")

    def detailed(self) -> bool:
        """Tell whether the caller may know more than that all is well."""
        return self._local() or self._has_key()

    def client(self) -> str:
        """Name the caller's key without telling it."""
        return self._client

    def _local(self) -> bool:
        forwarded_for = request.headers.get("X-Forwarded-For", "")
        return is_loopback(peer(request.remote_addr or "", forwarded_for, self._trusted))

    def _has_key(self) -> bool:
        """Compare every credential that was sent, each in constant time; one good one is enough."""
        matches = [hmac.compare_digest(one, self._key) for one in credentials()]
        return bool(self._key) and any(matches)


def credentials() -> list[bytes]:
    """Collect what the caller sent as a key, in either documented header."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    sent = [token.strip() if scheme.lower() == "bearer" else "", request.headers.get("x-api-key", "")]
    return [one.encode("latin-1", "replace") for one in sent if one]


def fingerprint(key: bytes) -> str:
    """Name a key without telling it: the same everywhere and always, and too slow to make for guessing many keys."""
    return hashlib.scrypt(key, salt=b"pulsegate client key", n=2**14, r=8, p=1, dklen=6).hex()
