"""What an SDP fragment of trickled candidates says (RFC 8840, section 9), checked before any of it is used."""

from dataclasses import dataclass

LARGEST_BYTES = 16 * 1024
MOST_CANDIDATES = 64


class UnusableFragment(Exception):
    """The text is no such fragment; says what is wrong without quoting it."""


@dataclass(frozen=True)
class Fragment:
    """The ICE generation that candidates belong to, and the candidates as ``(line, mid)``."""

    ufrag: str
    candidates: tuple[tuple[str, str], ...]


def parse(text: str) -> Fragment:
    """Read a fragment; raises ``UnusableFragment``."""
    if len(text.encode()) > LARGEST_BYTES:
        raise UnusableFragment(f"the fragment is larger than {LARGEST_BYTES} bytes")
    lines = text.splitlines()
    if any(line and line[:2] not in {"a=", "m="} for line in lines):
        raise UnusableFragment("the fragment has a line that belongs to none")
    ufrags = {line.removeprefix("a=ice-ufrag:") for line in lines if line.startswith("a=ice-ufrag:")}
    if len(ufrags) != 1:
        raise UnusableFragment("the fragment does not have one ice-ufrag")
    return Fragment(ufrags.pop(), tuple(_candidates(lines)))


def _candidates(lines: list[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    mid = ""
    for line in lines:
        if line.startswith("m="):
            mid = ""
        elif line.startswith("a=mid:"):
            mid = line.removeprefix("a=mid:")
        elif line.startswith("a=candidate:"):
            if not mid:
                raise UnusableFragment("a candidate belongs to no media section")
            found.append((line, mid))
    if len(found) > MOST_CANDIDATES:
        raise UnusableFragment(f"the fragment has more than {MOST_CANDIDATES} candidates")
    return found
