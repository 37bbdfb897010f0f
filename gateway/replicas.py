"""Which replicas are behind a target: addresses as listed, or what DNS says now."""

import asyncio
import socket
from ipaddress import ip_address

from gateway.channel import addresses


async def resolve(target: str) -> list[str]:
    """Return the address of every replica, sorted; raises OSError when a name cannot be resolved.

    A name stands for all its addresses of one family, IPv4 where it has any: a replica of a dual-stack cluster would
    otherwise be seen twice.
    """
    found = [await _resolve_one(address) for address in addresses(target)]
    return sorted({address for several in found for address in several})


def is_fixed(target: str) -> bool:
    """Tell whether a target names only literal addresses, which no later look-up would change."""
    return all(_is_literal(_split(address)[0]) for address in addresses(target))


async def _resolve_one(address: str) -> list[str]:
    host, port = _split(address)
    if _is_literal(host):
        return [_join(host, port)]
    loop = asyncio.get_running_loop()
    answers = await loop.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    families = {family for family, *_ in answers}
    family = socket.AF_INET if socket.AF_INET in families else socket.AF_INET6
    return [_join(str(peer[0]), port) for found, _, _, _, peer in answers if found == family]


def _split(address: str) -> tuple[str, str]:
    host, _, port = address.removeprefix("dns:").lstrip("/").rpartition(":")
    return host.strip("[]"), port


def _join(host: str, port: str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
