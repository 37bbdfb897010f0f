"""Which part of a file a request is for (RFC 9110, section 14)."""

import re

from werkzeug.datastructures import Headers

_ONE_RANGE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*$", re.IGNORECASE)


class Unsatisfiable(Exception):
    """The file has no byte of the range."""


def wanted(headers: Headers, size: int, etag: str, modified: str) -> tuple[int, int] | None:
    """Tell the range as start and stop, or None for the whole; raises ``Unsatisfiable``.

    What is malformed, of another unit or more than one range counts as if it was not there. So does a range of a file
    that is another one by now: ``If-Range`` must be its strong tag or its exact date.
    """
    found = _ONE_RANGE.match(headers.get("Range", ""))
    if not found or headers.get("If-Range", etag) not in (etag, modified):
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if first and last and int(last) < int(first):
        return None
    if start >= stop:
        raise Unsatisfiable
    return start, stop
