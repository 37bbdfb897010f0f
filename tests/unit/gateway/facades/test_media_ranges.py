import pytest
from werkzeug.datastructures import Headers

from gateway.facades.media.ranges import Unsatisfiable, wanted

ETAG, MODIFIED = '"tag"', "Sun, 22 Nov 2026 12:00:00 GMT"


def span(value, size=100, **headers):
    named = {name.replace("_", "-"): one for name, one in headers.items()}
    return wanted(Headers({"Range": value, **named}), size, ETAG, MODIFIED)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=10-", (10, 100)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
        ("BYTES = 0-9", (0, 10)),
    ],
)
def test_one_range_is_found(asked, found):
    assert span(asked) == found


@pytest.mark.parametrize("asked", ["", "bytes=", "bytes=-", "bytes=a-b", "bytes=9-1", "bytes=0-1,5-6", "lines=0-1"])
def test_what_is_malformed_unknown_or_several_ranges_is_the_whole(asked):
    assert span(asked) is None


@pytest.mark.parametrize(("asked", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=-5", 0)])
def test_a_range_without_a_byte_cannot_be_satisfied(asked, size):
    with pytest.raises(Unsatisfiable):
        span(asked, size)


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (ETAG, (0, 1)),
        (MODIFIED, (0, 1)),
        ('"other"', None),
        ('W/"tag"', None),
        ("Sun, 22 Nov 2026 11:59:59 GMT", None),
    ],
)
def test_a_range_of_a_file_that_is_another_one_by_now_is_the_whole(condition, found):
    assert span("bytes=0-0", If_Range=condition) == found


def test_no_range_is_the_whole():
    assert wanted(Headers(), 100, ETAG, MODIFIED) is None
