"""How many tokens a picture is: its size, read off the first bytes of the file."""

from base64 import b64decode
from binascii import Error

PIXELS_PER_TOKEN = 750
MOST_TOKENS = 1600
"""A larger picture is made smaller by Anthropic before it is read; one whose size is not known counts as such."""
HEAD_CHARACTERS = 64 * 1024
"""Of base64: enough to find the size of a JPEG behind its preview."""
JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of segments that begin with the size of the picture."""


def image_tokens(source: object) -> int:
    """Estimate the tokens of a picture from the ``source`` of its block."""
    data = source.get("data") if isinstance(source, dict) else None
    try:
        size = _size(b64decode(data[:HEAD_CHARACTERS])) if isinstance(data, str) else None
    except (Error, ValueError, IndexError):
        size = None
    if size is None:
        return MOST_TOKENS
    return min(MOST_TOKENS, -(-size[0] * size[1] // PIXELS_PER_TOKEN))


def _size(head: bytes) -> tuple[int, int] | None:
    """Read width and height; None where they cannot be found."""
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if head.startswith((b"GIF87a", b"GIF89a")) and len(head) >= 10:
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    return _jpeg_size(head) if head.startswith(b"\xff\xd8") else None


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        if head[at + 1] in JPEG_SIZES:
            return int.from_bytes(head[at + 7 : at + 9], "big"), int.from_bytes(head[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None
