"""The numbers that limit what clients may take of the gateway."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The numbers; 0 means no limit for those that say so."""

    header_bytes: int = 32_768
    header_seconds: float = 10.0
    stall_seconds: float = 30.0
    sockets: int = 4096
    sockets_per_client: int = 1024  # 0: no limit
    answers: int = 2000
    requests_per_minute: int = 0  # 0: no limit
