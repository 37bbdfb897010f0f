"""Which proxy a provider is reached through: the one that is configured, or what the environment says of its host."""

from collections.abc import Mapping
from urllib.parse import urlsplit

NONE = "no"


def proxies_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Read ``https_proxy``, ``http_proxy``, ``all_proxy`` and ``no_proxy``; names in lower case win."""
    found: dict[str, str] = {}
    for name, value in sorted(environment.items(), key=lambda one: one[0].islower()):
        kind, separator, rest = name.lower().rpartition("_proxy")
        if separator and not rest and kind in ("http", "https", "all", NONE):
            found[kind] = value
    return found


def proxy_of(base_url: str, proxies: Mapping[str, str]) -> str:
    """Choose the proxy for an address; empty for none."""
    parts = urlsplit(base_url)
    proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    if not proxy or _is_excepted(parts.hostname or "", parts.port, proxies.get(NONE, "")):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_excepted(host: str, port: int | None, exceptions: str) -> bool:
    """Tell whether a list of hosts names this one, its domain, or every host."""
    for one in (entry.strip().lower().lstrip(".") for entry in exceptions.split(",")):
        name = one.removesuffix(f":{port}")
        if one == "*" or (name and (host == name or host.endswith(f".{name}"))):
            return True
    return False
