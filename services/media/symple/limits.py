"""What one client may do: how fast, how much, how long without a name."""

AUTHENTICATION_SECONDS = 10.0
MOST_ROOMS = 64
LONGEST_NAME = 256
LARGEST_DATA_BYTES = 2048  # everybody who shares a room is told of it

_MESSAGES, _SECONDS = 100, 10.0


class Bucket:
    """Tokens for 100 messages, refilled over 10 s; it starts full."""

    def __init__(self, now: float) -> None:
        self._tokens = float(_MESSAGES)
        self._at = now

    def take(self, now: float) -> bool:
        """Take a token; tells whether there was one."""
        self._tokens = min(_MESSAGES, self._tokens + (now - self._at) * _MESSAGES / _SECONDS)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
