"""Our own keys taken out of what a provider says: some say them back when they refuse them."""

from collections.abc import Iterable

SHORTEST = 8
"""What is shorter is no secret, and would be found in any text."""
BLOT = b"[redacted]"


class Scrubber:
    """Knows the keys of one provider, and the parts of those that have parts."""

    def __init__(self, keys: Iterable[str]) -> None:
        parts = {part for key in keys for part in (key, *key.split(":"))}
        found = (part.encode() for part in parts if len(part) >= SHORTEST)
        self._secrets = sorted(found, key=len, reverse=True)

    def scrub(self, data: bytes) -> bytes:
        """Return the data without any of the keys."""
        for secret in self._secrets:
            if secret in data:
                data = data.replace(secret, BLOT)
        return data
