import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.media import packetize
from services.media.depacketize import PATIENCE_SECONDS, Packet, Pictures, Sounds, annex_b

START = b"\x00\x00\x00\x01"
SPS, PPS = b"\x67\x42\xc0\x1f", b"\x68\xce\x3c\x80"
FIRST_MACROBLOCK = b"\x88"
WHOLE = 1 << 16


def key_picture(size=3000, fill=1):
    return START + SPS + START + PPS + START + b"\x65" + FIRST_MACROBLOCK + bytes([fill]) * size


def picture(size=500, fill=2):
    return START + b"\x41" + FIRST_MACROBLOCK + bytes([fill]) * size


def packets(pictures, first=65_530, step=3000):
    """Cut pictures into packets, numbered across the wrap."""
    made = []
    for place, data in enumerate(pictures):
        payloads = packetize.h264(data)
        for number, payload in enumerate(payloads):
            sequence = (first + len(made)) % WHOLE
            made.append(Packet(sequence, place * step, number == len(payloads) - 1, payload))
    return made


def put_together(arriving, step_seconds=0.01):
    pictures = Pictures()
    return [
        one for place, packet in enumerate(arriving) for one in pictures.add(packet, place * step_seconds)
    ], pictures


STREAM = [key_picture(), picture(), picture(4000), picture(10), key_picture(1), picture()]


def test_pictures_come_out_as_they_went_in_across_the_wrap_of_the_numbers():
    told, pictures = put_together(packets(STREAM))
    assert [one.data for one in told] == STREAM
    assert [one.key for one in told] == [True, False, False, False, True, False]
    assert [one.timestamp for one in told] == [0, 3000, 6000, 9000, 12_000, 15_000]
    assert (pictures.needs_key, pictures.given_up, pictures.missing()) == (False, 0, [])


@given(st.data())
def test_neighbours_that_change_places_or_come_twice_change_nothing(data):
    arriving = packets(STREAM)
    for place in range(1, len(arriving) - 1):  # the first packet says where counting begins
        if data.draw(st.booleans()):
            arriving[place], arriving[place + 1] = arriving[place + 1], arriving[place]
    twice = [packet for packet in arriving for _ in range(data.draw(st.integers(1, 2)))]
    told, _ = put_together(twice, step_seconds=0.001)
    assert [one.data for one in told] == STREAM


@given(st.sets(st.integers(1, len(packets(STREAM)) - 1), max_size=4))
def test_after_a_loss_nothing_broken_comes_out_and_pictures_go_on_at_a_key_frame(lost):
    sent = [*STREAM, picture(), picture(), key_picture(5, fill=9), picture(5)]
    arriving = [packet for place, packet in enumerate(packets(sent)) if place not in lost]
    told, pictures = put_together(arriving, step_seconds=PATIENCE_SECONDS + 0.01)
    places = {one.timestamp // 3000: one for one in told}
    assert all(one.data == sent[place] for place, one in places.items())
    assert all(one.key or place - 1 in places for place, one in places.items())
    assert len(sent) - 2 in places
    assert not pictures.needs_key


def test_what_is_missing_is_told_until_it_comes():
    made = packets([key_picture(), picture()])
    pictures = Pictures()
    for packet in (made[0], made[2]):
        assert list(pictures.add(packet, 0.0)) == []
    assert pictures.missing() == [made[1].sequence]
    assert list(pictures.add(made[3], 0.0)) == []
    assert [one.data for one in pictures.add(made[1], 0.05)] == [key_picture()]
    assert pictures.missing() == []


def test_a_packet_that_never_comes_is_given_up_with_all_that_builds_on_it():
    made = packets([key_picture(), picture(4000), picture(), key_picture(1)])
    lost = next(place for place, packet in enumerate(made) if packet.timestamp == 3000)
    pictures = Pictures()
    told = []
    for place, packet in enumerate(made):
        if place != lost:
            told += pictures.add(packet, 10.0 if packet.timestamp > 3000 else 0.0)
    assert [one.timestamp for one in told] == [0, 9000]
    assert pictures.given_up == 1
    assert not pictures.needs_key


def test_a_key_frame_gets_the_parameter_sets_that_came_before_it():
    alone = START + b"\x65" + FIRST_MACROBLOCK + b"x"
    told, _ = put_together(packets([key_picture(5), alone]))
    assert [one.data for one in told] == [key_picture(5), START + SPS + START + PPS + alone]


def test_nothing_is_told_before_the_first_key_frame():
    told, pictures = put_together(packets([picture(), picture()]))
    assert told == []
    assert pictures.needs_key


def test_a_picture_whose_first_slice_was_never_seen_is_not_told():
    told, pictures = put_together(packets([START + b"\x65\x48 second slice", picture()]))
    assert told == []
    assert pictures.needs_key


def test_a_picture_without_a_marker_ends_where_the_next_begins():
    made = [Packet(one.sequence, one.timestamp, False, one.payload) for one in packets(STREAM)]
    told, _ = put_together(made)
    assert [one.data for one in told] == STREAM[:-1]


def test_numbers_that_jump_are_followed():
    told, _ = put_together(packets([key_picture(5)], first=100) + packets([key_picture(7)] * 2, first=30_000))
    assert [one.data for one in told] == [key_picture(5), key_picture(7)]


def test_a_picture_larger_than_any_is_not_gathered_for_ever():
    endless = b"\x7c\x05" + bytes(1000)
    pictures = Pictures()
    for number in range(6000):
        assert list(pictures.add(Packet(number, 0, False, endless), 0.0)) == []
    assert pictures._size <= 5 << 20


@pytest.mark.parametrize(
    "payload", [b"", b"\x65", b"\x7c\x85", b"\x78\x00", b"\x78\x00\x09x", b"\x78\x00\x00x", b"\x79ab", b"\x00ab"]
)
def test_a_payload_of_another_kind_is_refused(payload):
    with pytest.raises(ValueError, match=r"\w"):
        annex_b(payload)


@given(st.lists(st.binary(max_size=60), max_size=60), st.lists(st.integers(0, WHOLE - 1), max_size=60))
def test_no_payload_breaks_it(payloads, numbers):
    pictures = Pictures()
    for place, (number, payload) in enumerate(zip(numbers, payloads, strict=False)):
        list(pictures.add(Packet(number, place // 3, place % 3 == 2, payload), place * 0.1))
        assert len(pictures._waiting) <= 1025


def test_units_of_one_packet_are_told_apart():
    together = b"\x78" + b"".join(struct.pack("!H", len(one)) + one for one in (SPS, PPS))
    assert annex_b(together) == [(7, START + SPS), (8, START + PPS)]


def test_sound_that_comes_late_or_twice_is_left_out():
    sounds = Sounds()
    taken = [sounds.add(Packet(number, 0, False, b"x")) for number in (65_535, 0, 0, 2, 1, 3)]
    assert taken == [True, True, False, True, False, True]
    assert not sounds.add(Packet(4, 0, False, b""))
