import socket
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pylibsrtp import Policy, Session

from services.media import compat
from services.media.wire import MOST_SEGMENTS, SegmentedWire, Wire, can_segment, lay_out

KEY = bytes(range(44))
PROFILE = Policy.SRTP_PROFILE_AEAD_AES_256_GCM


def rtp(sequence, size):
    return struct.pack("!BBHII", 0x80, 96, sequence, 1000, 7) + bytes([sequence % 256]) * size


@given(st.lists(st.integers(1, 1200), min_size=1, max_size=200), st.sampled_from([10, 16]))
def test_every_packet_lies_once_in_order_and_runs_are_equal_but_their_last(sizes, tag):
    packets = [rtp(number, size) for number, size in enumerate(sizes)]
    templates = lay_out(packets, tag)
    found = [one.buffer[at : at + length] for one in templates for at, length in one.packets]
    assert found == packets
    for template in templates:
        cuts = []
        for run in template.runs:
            assert run.length <= 65_000
            at = run.offset
            while at < run.offset + run.length:
                size = min(run.segment, run.offset + run.length - at)
                cuts.append((at, size - tag))
                at += size
        assert tuple(cuts) == template.packets
        assert len(template.packets) <= MOST_SEGMENTS


class Transport:
    """The peer's UDP transport, seen from the sender."""

    def __init__(self, own):
        self.own = own

    def sendto(self, data, address):
        self.own.sendto(data, address)


@pytest.fixture
def link():
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(2)
    policy = Policy(KEY, Policy.SSRC_ANY_OUTBOUND, srtp_profile=PROFILE)
    policy.allow_repeat_tx = True
    session = Session(policy)
    opening = Session(Policy(KEY, Policy.SSRC_ANY_INBOUND, srtp_profile=PROFILE))
    path = compat.Path(session, session._srtp[0], compat.GCM_TAG, Transport(sender), receiver.getsockname(), sender)
    yield path, lambda: opening.unprotect(receiver.recv(2048))
    receiver.close()
    sender.close()


PACKETS = [rtp(1, 40), *(rtp(number, 1188) for number in range(2, 9)), rtp(9, 300), rtp(10, 500)]


def test_a_segmented_frame_arrives_as_the_packets_it_was_made_of(link):
    path, receive = link
    for template in lay_out(PACKETS, path.tag_length):
        SegmentedWire(path, path.socket).send(template)
    assert [receive() for _ in PACKETS] == PACKETS


def test_the_plain_way_sends_the_same(link):
    path, receive = link
    for template in lay_out(PACKETS, path.tag_length):
        Wire(replace(path, socket=None)).send(template)
    assert [receive() for _ in PACKETS] == PACKETS


class Refusing:
    """A socket of a kernel that does not segment."""

    def sendmsg(self, *arguments):
        raise OSError(5, "I/O error")


def test_a_kernel_that_refuses_to_segment_gets_single_packets_from_the_next_frame_on(link):
    path, receive = link
    wire = SegmentedWire(path, Refusing())
    first, second = lay_out(PACKETS[:1], 16)[0], lay_out(PACKETS[1:], 16)[0]
    wire.send(first)
    wire.send(second)
    assert [receive() for _ in PACKETS[1:]] == PACKETS[1:]


class Full:
    """A socket whose buffer is full."""

    def __init__(self):
        self.tried = 0

    def sendmsg(self, *arguments):
        self.tried += 1
        raise BlockingIOError


def test_a_full_socket_loses_the_frame_and_stays_in_use(link):
    path, _ = link
    own = Full()
    wire = SegmentedWire(path, own)
    for template in lay_out(PACKETS[:2], 16) * 2:
        wire.send(template)
    assert own.tried == 2


def test_a_packet_too_old_to_be_sent_again_is_skipped(link):
    path, receive = link
    wire = Wire(path)
    wire.send_packet(rtp(5000, 10))
    wire.send_packet(rtp(10, 10))
    wire.send_packet(rtp(5001, 10))
    assert [receive()[2:4], receive()[2:4]] == [struct.pack("!H", 5000), struct.pack("!H", 5001)]


def test_this_kernel_can_be_asked_whether_it_segments():
    assert can_segment() in (True, False)


def test_the_private_names_of_the_media_libraries_are_there():
    compat.self_test()


async def test_a_fresh_peer_has_the_private_names_of_the_fan_out():
    await compat.self_test_peer()
