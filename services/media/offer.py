"""What an SDP offer asks for, checked before any of it costs something."""

import re
from dataclasses import dataclass
from typing import Literal

from services.media.unit import Kind

LARGEST_BYTES = 64 * 1024
_MOST_SECTIONS = 16
_UFRAG = "a=ice-ufrag:"

_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_RTPMAP = re.compile(r"a=rtpmap:(\d{1,3}) ([A-Za-z0-9._-]+)/(\d+)")
_FMTP = re.compile(r"a=fmtp:(\d{1,3}) (.*)")
_FINGERPRINT = re.compile(r"a=fingerprint:(?:sha-256|sha-384|sha-512) [0-9A-F]{2}(?::[0-9A-F]{2})+$", re.IGNORECASE)
_CREDENTIAL = re.compile(r"a=ice-(ufrag|pwd):([A-Za-z0-9+/]+)$")


class UnusableOffer(Exception):
    """The text is not an offer this server can answer; says what is wrong without quoting it."""


class NoCommonCodec(Exception):
    """The offer is sound and names no codec this server sends."""


@dataclass(frozen=True)
class Section:
    """One media section of an offer."""

    kind: str
    direction: Literal["sendrecv", "sendonly", "recvonly", "inactive"]
    codecs: frozenset[str]

    @property
    def receives(self) -> bool:
        """Whether the offerer wants to get media here."""
        return self.direction in ("sendrecv", "recvonly")

    @property
    def sends(self) -> bool:
        """Whether the offerer wants to give media here."""
        return self.direction in ("sendrecv", "sendonly")


@dataclass(frozen=True)
class Offer:
    """A checked offer; ``text`` has a direction in every section, where the original may have left it out."""

    text: str
    sections: tuple[Section, ...]
    leaves_role: bool
    """Whether the answer decides who is the DTLS server."""
    ufrags: frozenset[str]
    """The ICE generation of the offer: candidates that come later name it."""

    def wanted(self) -> tuple[Kind, ...]:
        """Tell which tracks the offerer wants to get, in the order of its sections, one of a kind.

        Raises ``UnusableOffer`` when it wants none, ``NoCommonCodec`` when it wants video but no H.264.
        """
        asked = [section for section in self.sections if section.receives]
        return _common(asked, "the offer asks for neither video nor audio")

    def offered(self) -> tuple[Kind, ...]:
        """Tell which tracks the offerer gives, as ``wanted`` does and with the same errors."""
        return _common([section for section in self.sections if section.sends], "the offer gives no media")


def _common(asked: list[Section], nothing: str) -> tuple[Kind, ...]:
    """Pick the sections with a codec of ours."""
    codecs: dict[str, tuple[Kind, str]] = {"video": ("video", "h264"), "audio": ("audio", "opus")}
    asked = [section for section in asked if section.kind in codecs]
    if not asked:
        raise UnusableOffer(nothing)
    video = [section for section in asked if section.kind == "video"]
    if video and not any("h264" in section.codecs for section in video):
        raise NoCommonCodec("the offer has no H.264")
    found: list[Kind] = []
    for section in asked:
        kind, codec = codecs[section.kind]
        if kind not in found and codec in section.codecs:
            found.append(kind)
    if not found:
        raise NoCommonCodec("the offer has no Opus")
    return tuple(found)


def parse(text: str) -> Offer:
    """Check an offer; raises ``UnusableOffer``."""
    if len(text.encode()) > LARGEST_BYTES:
        raise UnusableOffer(f"the offer is larger than {LARGEST_BYTES} bytes")
    lines = [line.rstrip("\r") for line in text.split("\n")]
    if not lines or lines[0] != "v=0":
        raise UnusableOffer("the offer is not SDP")
    heads, *bodies = _split(lines)
    if not bodies:
        raise UnusableOffer("the offer has no media section")
    if len(bodies) > _MOST_SECTIONS:
        raise UnusableOffer(f"the offer has more than {_MOST_SECTIONS} media sections")
    if len(bodies) > 1 and not any(line.startswith("a=group:BUNDLE ") for line in heads):
        raise UnusableOffer("the offer does not bundle its media sections")
    sections = tuple(_section(heads, body) for body in bodies)
    mids = [line for body in bodies for line in body if line.startswith("a=mid:")]
    if len(set(mids)) != len(bodies):
        raise UnusableOffer("the media sections do not have one mid each")
    lines = [*heads]
    for section, body in zip(sections, bodies, strict=True):
        lines += [body[0], f"a={section.direction}", *(line for line in body[1:] if line[2:] not in _DIRECTIONS)]
    roles = {line for part in (heads, *bodies) for line in part if line.startswith("a=setup:")}
    ufrags = {line.removeprefix(_UFRAG) for part in (heads, *bodies) for line in part if line.startswith(_UFRAG)}
    text = "\r\n".join(line for line in lines if line) + "\r\n"
    return Offer(text, sections, roles == {"a=setup:actpass"}, frozenset(ufrags))


def _split(lines: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("m="):
            parts.append([])
        parts[-1].append(line)
    return parts


def _section(heads: list[str], body: list[str]) -> Section:
    words = body[0][2:].split(" ")
    if len(words) < 4 or not words[1].partition("/")[0].isdigit():
        raise UnusableOffer("a media section is malformed")
    kind = words[0]
    if kind in ("audio", "video") and not all(word.isdigit() and int(word) < 128 for word in words[3:]):
        raise UnusableOffer("a payload type is malformed")
    known = {found[1]: found[2] for line in (*heads, *body) if (found := _CREDENTIAL.match(line))}
    if len(known.get("ufrag", "")) < 4 or len(known.get("pwd", "")) < 22:
        raise UnusableOffer("the offer has no ice-ufrag and ice-pwd")
    if not any(_FINGERPRINT.match(line) for line in (*heads, *body)):
        raise UnusableOffer("the offer has no usable certificate fingerprint")
    if kind in ("audio", "video") and "a=rtcp-mux" not in body:
        raise UnusableOffer("a media section does not multiplex RTP and RTCP")
    direction = next((line[2:] for line in (*body, *heads) if line[2:] in _DIRECTIONS and line[:2] == "a="), "sendrecv")
    return Section(kind, direction, _codecs(body))  # type: ignore[arg-type]  # one of _DIRECTIONS


def _codecs(body: list[str]) -> frozenset[str]:
    """Name the codecs of a section; H.264 only where its packets may be fragmented."""
    modes = {found[1]: found[2] for line in body if (found := _FMTP.match(line))}
    names = set()
    for line in body:
        if (found := _RTPMAP.match(line)) is None:
            continue
        payload_type, name = found[1], found[2].lower()
        if name != "h264" or "packetization-mode=1" in modes.get(payload_type, ""):
            names.add(name)
    return frozenset(names)
