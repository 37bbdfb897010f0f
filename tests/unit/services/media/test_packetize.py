from aiortc.codecs.h264 import h264_depayload
from hypothesis import given
from hypothesis import strategies as st

from services.media import packetize

START = b"\x00\x00\x00\x01"


def nal(kind, body):
    # An encoder escapes what looks like a start code and never ends in a zero byte.
    return bytes([0x60 | kind]) + body.replace(b"\x00", b"\x01") + b"\x80"


bodies = st.one_of(st.binary(min_size=1, max_size=60), st.binary(min_size=1100, max_size=6000))
slices = st.builds(nal, st.sampled_from([1, 5]), bodies)
others = st.builds(nal, st.sampled_from([6, 7, 8, 9, 12]), st.binary(min_size=1, max_size=60))
access_units = st.lists(st.one_of(slices, others), min_size=1, max_size=12)
start_codes = st.sampled_from([START, START[1:]])


@given(access_units, start_codes)
def test_a_receiver_puts_together_what_was_cut(nals, start_code):
    payloads = packetize.h264(b"".join(start_code + one for one in nals))
    received = b"".join(h264_depayload(payload) for payload in payloads)
    kept = [one for one in nals if one[0] & 0x1F in (7, 8)] + [one for one in nals if one[0] & 0x1F in (1, 5)]
    assert received == b"".join(START + one for one in kept)


@given(access_units)
def test_no_payload_is_larger_than_allowed_and_fragments_are_equal_but_the_last(nals):
    payloads = packetize.h264(b"".join(START + one for one in nals))
    assert all(len(payload) <= packetize.LARGEST_PAYLOAD for payload in payloads)
    for payload in payloads:
        is_fragment, is_last = payload[0] & 0x1F == 28, payload[1] & 0x40
        assert not is_fragment or is_last or len(payload) == packetize.LARGEST_PAYLOAD


def test_what_only_costs_packets_is_left_out():
    sei, delimiter, filler, picture = nal(6, b"a"), nal(9, b"b"), nal(12, b"c"), nal(1, b"d")
    payloads = packetize.h264(b"".join(START + one for one in (delimiter, sei, picture, filler)))
    assert payloads == [picture]


def test_zero_bytes_behind_a_unit_belong_to_nobody():
    first, second = nal(1, b"a"), nal(1, b"b")
    assert list(packetize.units(START + first + b"\x00\x00" + START + second + b"\x00")) == [first, second]


def test_parameter_sets_travel_together():
    sps, pps, picture = nal(7, b"s"), nal(8, b"p"), nal(5, b"d" * 10)
    payloads = packetize.h264(START + sps + START + pps + START + picture)
    assert len(payloads) == 2
    assert payloads[0][0] & 0x1F == 24
    assert h264_depayload(payloads[0]) == START + sps + START + pps


def test_parameter_sets_are_found_and_nothing_else():
    sps, pps, picture = nal(7, b"s"), nal(8, b"p"), nal(5, b"d")
    assert packetize.parameter_sets(START + sps + START + pps + START + picture) == START + sps + START + pps
    assert packetize.parameter_sets(START + picture) == b""


def test_text_without_start_codes_gives_nothing():
    assert packetize.h264(b"no picture") == []
