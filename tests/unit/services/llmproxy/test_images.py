import struct
from base64 import b64encode

import pytest

from services.llmproxy.images import MOST_TOKENS, image_tokens


def png(width, height):
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)


def gif(width, height):
    return b"GIF89a" + struct.pack("<HH", width, height)


def jpeg(width, height):
    preview = b"\xff\xe1" + struct.pack(">H", 5002) + bytes(5000)
    return b"\xff\xd8" + preview + b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3)


def source(data):
    return {"type": "base64", "data": b64encode(data).decode()}


@pytest.mark.parametrize("kind", [png, gif, jpeg])
def test_a_picture_counts_by_its_size(kind):
    assert image_tokens(source(kind(300, 200))) == 80
    assert image_tokens(source(kind(1, 1))) == 1
    assert image_tokens(source(kind(4000, 3000))) == MOST_TOKENS


@pytest.mark.parametrize(
    "unknown",
    [
        {"type": "url", "url": "https://x.test/a.png"},
        {"type": "base64", "data": "%%%"},
        {"type": "base64", "data": 7},
        source(b"RIFF....WEBP"),
        source(png(1, 1)[:20]),
        source(b"\xff\xd8\xff\xe1"),
        source(b"\xff\xd8\xff\xe1\x00\x00" * 20),
        None,
        "text",
    ],
)
def test_a_picture_of_unknown_size_counts_as_a_large_one(unknown):
    assert image_tokens(unknown) == MOST_TOKENS
