"""Who is really calling: the socket's peer, or what a proxy we trust says of it."""

from asyncio import BaseTransport
from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


def peer_host(transport: BaseTransport) -> str:
    """Return the address of a socket's peer, empty of one that has gone before it was met."""
    return str((transport.get_extra_info("peername") or ("",))[0])


def peer(remote: str, forwarded_for: str, trusted: Collection[Network]) -> str:
    """Return the caller's address.

    ``forwarded_for`` counts only as far as trusted hops wrote it: from the right, the first address that is not a
    trusted proxy is the caller.
    """
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
    caller = remote
    while hops and is_trusted(caller, trusted):
        caller = hops.pop()
    return caller


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Tell whether an address is this machine's own: 127.0.0.0/8, ::1 or the former mapped into IPv6."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def is_trusted(host: str, trusted: Collection[Network]) -> bool:
    """Tell whether an address is that of a proxy whose words count."""
    return is_within(host, trusted)


def is_within(host: str, networks: Collection[Network]) -> bool:
    """Tell whether an address lies in one of some networks; an IPv4 address may be written as an IPv6 one."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in networks)
