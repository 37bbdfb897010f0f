"""Frames as AWS published them, cut anywhere, and read by botocore beside ours."""

import struct
import zlib

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from services.llmproxy.eventstream import BrokenFrameError, FrameDecoder

EMPTY = b"\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2H\xeb}\x98\xc8\xff"
NO_HEADERS = b"\x00\x00\x00\x1d\x00\x00\x00\x00\xfdR\x8cZ{'foo':'bar'}\xc3e96"
ONE_HEADER = (
    b"\x00\x00\x00=\x00\x00\x00 \x07\xfd\x83\x96\x0ccontent-type\x07\x00\x10application/json"
    b"{'foo':'bar'}\x8d\x9c\x08\xb1"
)
OTHER_KINDS = (
    b"\x01a\x00\x01b\x01\x01c\x02\x07\x01d\x03\x00\x07\x01e\x04\x00\x00\x00\x07\x01f\x05\x00\x00\x00\x00\x00\x00\x00\x07"
    b"\x01g\x06\x00\x02ab\x01h\x08\x00\x00\x00\x00\x00\x00\x00\x07\x01i\x09" + bytes(range(16))
)


def frame(headers, payload):
    prelude = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    start = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return start + struct.pack(">I", zlib.crc32(start))


def text_header(name, value):
    name, value = name.encode(), value.encode()
    return bytes([len(name)]) + name + b"\x07" + struct.pack(">H", len(value)) + value


def read(data, size=0):
    decoder = FrameDecoder()
    size = size or len(data)
    frames = [one for at in range(0, len(data), size) for one in decoder.feed(data[at : at + size])]
    decoder.finish()
    return [(dict(one.headers), one.payload) for one in frames]


@pytest.mark.parametrize("size", [0, 1, 5])
def test_the_published_frames_are_read_however_they_are_cut(size):
    assert read(EMPTY + NO_HEADERS + ONE_HEADER, size) == [
        ({}, b""),
        ({}, b"{'foo':'bar'}"),
        ({"content-type": "application/json"}, b"{'foo':'bar'}"),
    ]


def test_headers_of_every_kind_are_stepped_over():
    assert read(frame(OTHER_KINDS + text_header(":event-type", "chunk"), b"p")) == [({":event-type": "chunk"}, b"p")]


TEXTS = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda name: len(name.encode()) < 256), st.text(max_size=20)
)


@given(st.lists(st.tuples(TEXTS, st.binary(max_size=60)), max_size=4), st.integers(1, 40))
def test_botocore_reads_the_same(messages, size):
    data = b"".join(
        frame(b"".join(text_header(*header) for header in headers.items()), payload) for headers, payload in messages
    )
    theirs = EventStreamBuffer()
    theirs.add_data(data)
    assert read(data, size) == [(one.headers, one.payload) for one in theirs] == messages


@given(st.integers(0, len(ONE_HEADER) * 8 - 1))
def test_no_flipped_bit_goes_unnoticed(bit):
    broken = bytearray(ONE_HEADER)
    broken[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BrokenFrameError):
        read(bytes(broken) + EMPTY)


@pytest.mark.parametrize(
    "data",
    [
        frame(b"\x05ab", b""),
        frame(b"\x01a\x0a", b""),
        frame(b"\x01a\x07\x00\x09ab", b""),
        frame(b"\x01\xff\x07\x00\x00", b""),
        ONE_HEADER[:-1],
        struct.pack(">III", 2**31, 0, zlib.crc32(struct.pack(">II", 2**31, 0))),
        struct.pack(">III", 16, 32, zlib.crc32(struct.pack(">II", 16, 32))),
    ],
    ids=["cut header", "unknown kind", "cut value", "no text", "cut frame", "endless", "headers longer than all"],
)
def test_what_is_no_frame_is_refused(data):
    with pytest.raises(BrokenFrameError):
        read(data)
