"""Who may call which route of the LLM proxy: the documented matrix of key, loopback and route."""

import hashlib
import hmac

from flask import request
from werkzeug.exceptions import Forbidden, Unauthorized

from gateway.peer import is_loopback, is_within, peer
from gateway.settings import GatewaySettings

FOR_EVERYBODY = ("/", "/health")
OPERATORS = ("/status", "/usage", "/ui")
"""What is for this machine or for whoever has a key."""
FOR_BROWSERS = ("/usage", "/ui")
"""What a browser may ask its user a key for.

It sends that along by itself afterwards, whichever site made it ask: so only what no other site can read, and
nothing that does or costs something.
"""


class Access:
    """Judges the request at hand."""

    def __init__(self, settings: GatewaySettings) -> None:
        keys = [key.encode() for key in settings.client_keys]
        self._clients = {key: fingerprint(key) for key in keys}
        self._trusted = settings.trusted_proxies
        self._allowed = settings.llmproxy_ip_whitelist
        self._banned = settings.llmproxy_ip_blacklist

    def require(self) -> None:
        """Refuse a caller who may not have this route; only ``/`` and ``/health`` are for everybody."""
        path = request.path
        if path not in FOR_EVERYBODY and not self._admitted():
            raise Forbidden("This address may not use the API")
        if _is_under(path, OPERATORS):
            if not self.detailed():
                raise Unauthorized("Invalid or missing API key")
        elif path.startswith(("/v1/", "/providers")):
            if self._clients:
                if not self._known():
                    raise Unauthorized("Invalid API key")
            elif not self._local():
                raise Forbidden("API access is restricted to localhost when no API key is configured")

    def detailed(self) -> bool:
        """Tell whether the caller may know more than that all is well."""
        return self._local() or bool(self._known())

    def client(self) -> str:
        """Name the caller's key without telling it."""
        return self._known() or "local"

    def peer(self) -> str:
        """Tell the address of whoever is really calling."""
        return peer(request.remote_addr or "", request.headers.get("X-Forwarded-For", ""), self._trusted)

    def _local(self) -> bool:
        return is_loopback(self.peer())

    def _admitted(self) -> bool:
        """Tell whether the lists of addresses let the caller in; this machine always is."""
        if not (self._allowed or self._banned):
            return True
        address = self.peer()
        if is_loopback(address):
            return True
        return (not self._allowed or is_within(address, self._allowed)) and not is_within(address, self._banned)

    def _known(self) -> str:
        """Name the first good one of the keys that were sent; each is compared with all of ours in constant time."""
        pairs = [
            (hmac.compare_digest(sent, key), name) for sent in credentials() for key, name in self._clients.items()
        ]
        return next((name for same, name in pairs if same), "")


def asks_browser() -> bool:
    """Tell whether a browser should ask its user for the key that was missing or wrong."""
    return _is_under(request.path, FOR_BROWSERS)


def _is_under(path: str, places: tuple[str, ...]) -> bool:
    return path in places or path.startswith(tuple(f"{one}/" for one in places))


def credentials() -> list[bytes]:
    """Collect what the caller sent as a key, in either documented header; from a browser's dialogue, its password."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    headers = [token.strip() if scheme.lower() == "bearer" else "", request.headers.get("x-api-key", "")]
    sent = [one.encode("latin-1", "replace") for one in headers]  # as the bytes came
    if asks_browser() and request.authorization and request.authorization.type == "basic":
        sent.append((request.authorization.password or "").encode())
    return [one for one in sent if one]


def fingerprint(key: bytes) -> str:
    """Name a key without telling it: the same everywhere and always, and too slow to make for guessing many keys."""
    return hashlib.scrypt(key, salt=b"pulsegate client key", n=2**14, r=8, p=1, dklen=6).hex()
