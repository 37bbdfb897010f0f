"""Cut an encoded picture into RTP payloads (RFC 6184, packetization mode 1)."""

import struct
from collections.abc import Iterator

LARGEST_PAYLOAD = 1188
"""Bytes in one packet, so that header, SRTP tag, UDP and IP stay below every usual path limit."""

_SLICE_IDR, _SEI, _SPS, _PPS, _DELIMITER, _FILLER = 5, 6, 7, 8, 9, 12
_STAP_A, _FU_A = 24, 28
_LEFT_OUT = {_SEI, _DELIMITER, _FILLER}  # one stray small packet costs as much as a whole segmented picture


def units(access_unit: bytes) -> Iterator[bytes]:
    """Yield the NAL units between the start codes of an Annex B access unit."""
    start = access_unit.find(b"\x00\x00\x01")
    while start != -1:
        begin = start + 3
        start = access_unit.find(b"\x00\x00\x01", begin)
        end = len(access_unit) if start == -1 else start
        # A zero before a start code belongs to it, trailing zeros to nobody: no NAL unit ends in a zero byte.
        unit = access_unit[begin:end].rstrip(b"\x00")
        if unit:
            yield unit


def h264(access_unit: bytes) -> list[bytes]:
    """Make the payloads of one picture: parameter sets together, slices whole or in equal fragments.

    SEI, delimiters and filler are left out. Every fragment of a slice but the last has exactly
    ``LARGEST_PAYLOAD`` bytes, which is what lets the kernel segment a whole picture in one call.
    """
    kept = [unit for unit in units(access_unit) if unit[0] & 0x1F not in _LEFT_OUT]
    heads = [unit for unit in kept if unit[0] & 0x1F in (_SPS, _PPS)]
    payloads = list(_together(heads))
    for unit in kept:
        if unit[0] & 0x1F not in (_SPS, _PPS):
            payloads.extend(_slice(unit))
    return payloads


def parameter_sets(access_unit: bytes) -> bytes:
    """Tell the parameter sets of an access unit as Annex B; empty when it has none."""
    found = [unit for unit in units(access_unit) if unit[0] & 0x1F in (_SPS, _PPS)]
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in found)


def _together(heads: list[bytes]) -> Iterator[bytes]:
    size = 1 + sum(2 + len(head) for head in heads)
    if len(heads) < 2 or size > LARGEST_PAYLOAD:
        for head in heads:
            yield from _slice(head)
        return
    importance = max(head[0] & 0x60 for head in heads)
    yield bytes([importance | _STAP_A]) + b"".join(struct.pack("!H", len(head)) + head for head in heads)


def _slice(unit: bytes) -> Iterator[bytes]:
    if len(unit) <= LARGEST_PAYLOAD:
        yield unit
        return
    indicator, kind = unit[0] & 0xE0 | _FU_A, unit[0] & 0x1F
    room = LARGEST_PAYLOAD - 2
    for begin in range(1, len(unit), room):
        first = 0x80 if begin == 1 else 0
        last = 0x40 if begin + room >= len(unit) else 0
        yield bytes([indicator, first | last | kind]) + unit[begin : begin + room]
