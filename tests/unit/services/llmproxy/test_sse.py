from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.llmproxy.sse import Decoder, Event, EventTooLargeError


def decode(*chunks):
    decoder = Decoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.finish()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_is_understood(end):
    assert decode(end.join([b"event: a", b"data: 1", b"", b"data: 2", b"", b""])) == [
        Event("a", b"1"),
        Event("", b"2"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"data:x\n\n", [Event("", b"x")]),
        (b"data:  x\n\n", [Event("", b" x")]),
        (b"data: a\ndata: b\n\n", [Event("", b"a\nb")]),
        (b"data\n\n", [Event("", b"")]),
        (b": PROCESSING\n\ndata: x\n\n", [Event("", b"x")]),
        (b"id: 7\nretry: 1\ndata: x\n\n", [Event("", b"x")]),
        (b"event: lost\n\ndata: x\n\n", [Event("", b"x")]),
        (b"\xef\xbb\xbfdata: x\n\n", [Event("", b"x")]),
        (b"data: last", [Event("", b"last")]),
        (b"data: last\r", [Event("", b"last")]),
        (b"\n\n\n", []),
        (b"", []),
    ],
)
def test_what_the_standard_says_of_fields(text, expected):
    assert decode(text) == expected


def test_an_event_is_told_as_soon_as_its_blank_line_is_there():
    decoder = Decoder()
    assert decoder.feed(b"data: x\n") == []
    assert decoder.feed(b"\n") == [Event("", b"x")]
    assert decoder.feed(b"data: y\r\n\r") == [Event("", b"y")]
    assert decoder.feed(b"\ndata: z\n\n") == [Event("", b"z")]


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1), max_size=5),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.data(),
)
def test_any_way_to_cut_the_bytes_gives_the_same_events(texts, end, data):
    whole = b"".join(b"data: " + text.encode() + end * 2 for text in texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    edges = [0, *cuts, len(whole)]
    chunks = [whole[start:stop] for start, stop in pairwise(edges)]
    assert [event.data.decode() for event in decode(*chunks)] == texts


def test_an_event_without_end_does_not_fill_the_memory():
    with pytest.raises(EventTooLargeError):
        Decoder(limit=100).feed(b"data: " + b"x" * 101)
    decoder = Decoder(limit=100)
    for _ in range(3):
        decoder.feed(b"data: " + b"x" * 30 + b"\n")
    with pytest.raises(EventTooLargeError):
        decoder.feed(b"data: " + b"x" * 30)
