"""Which pages may open a signalling socket: a browser says where a page is from, and asks nobody before it connects."""

from collections.abc import Collection
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


def allowed(origin: str, scheme: str, host: str, listener: tuple[str, int], others: Collection[str]) -> bool:
    """Tell whether a page of ``origin`` may connect to ``scheme://host``.

    It may from the same place, from this machine or the configured host at the same scheme and port, and from what is
    listed in ``others``.
    """
    asked = origin.lower()
    if asked == f"{scheme}://{host}".lower() or asked in {other.lower().rstrip("/") for other in others}:
        return True
    try:
        parts = urlsplit(asked)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return False
    known_host = parts.hostname in _THIS_MACHINE or parts.hostname == listener[0].lower().strip("[]")
    return parts.scheme == scheme and port == listener[1] and known_host
