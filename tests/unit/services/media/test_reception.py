import pytest
from aiortc.rtp import RtpPacket

from services.media.inbound import Inbound
from services.media.reception import Reception
from services.media.timeline import Timeline

KEY = b"\x65\x88key"
VIDEO, RTX = 96, 97


class Sender:
    """Gives packets to a reception and keeps what it says back."""

    def __init__(self, kind):
        self.units, self.nacks, self.keys = [], [], []
        inbound = Inbound("live", "abc", "live", (kind,), lambda: self.keys.append(1))
        inbound._listeners.append(self.units.append)  # listening asks for a key frame, which is not what is tested
        self.reception = Reception(
            kind, {RTX: VIDEO}, Timeline(), inbound, lambda ssrc, numbers: self.nacks.append((ssrc, numbers))
        )

    def send(self, sequence, now, payload=KEY, timestamp=None, payload_type=VIDEO, ssrc=7, marker=1):
        timestamp = sequence * 3000 % (1 << 32) if timestamp is None else timestamp
        self.reception.take(RtpPacket(payload_type, marker, sequence, timestamp, ssrc, payload), now)


@pytest.fixture
def video():
    return Sender("video")


def test_a_lost_packet_is_asked_for_at_once_and_again_and_its_retransmission_fills_the_gap(video):
    video.send(10, 1.0)
    video.send(12, 1.01)
    assert video.nacks == [(7, [11])]
    video.send(13, 1.02)
    assert len(video.nacks) == 1
    video.send(14, 1.06)
    assert video.nacks == [(7, [11])] * 2
    video.send(500, 1.07, payload=b"\x00\x0b" + KEY, timestamp=33_000, payload_type=RTX, ssrc=8)
    assert len(video.units) == 5
    block = video.reception.block(2.0)
    assert (block.ssrc, block.highest_sequence, block.packets_lost) == (7, 14, 1)


def test_numbers_are_asked_for_in_a_form_that_can_be_written_at_the_wrap(video):
    video.send(65_534, 1.0)
    video.send(1, 1.01)
    assert video.nacks == [(7, [0, 65_535])]


def test_a_picture_given_up_brings_a_key_frame(video):
    video.send(10, 1.0)
    assert video.keys == []
    video.send(12, 2.0, payload=b"\x41\x88x")
    video.send(13, 3.0, payload=b"\x41\x88x")
    assert video.keys == [1]


def test_padding_by_which_a_sender_measures_the_path_is_not_media(video):
    video.send(1, 0.9, payload=b"", payload_type=RTX, ssrc=8)
    video.send(10, 1.0)
    video.send(2, 1.0, payload=b"", payload_type=RTX, ssrc=8)
    assert len(video.units) == 1
    assert video.reception.ssrc == 7


def test_a_sender_that_begins_anew_is_followed_and_counted_anew(video):
    video.send(10, 1.0)
    video.send(40_000, 1.1, ssrc=9, timestamp=5)
    assert [unit.timestamp for unit in video.units] == [90_000, 99_000]
    assert video.reception.block(2.0).ssrc == 9


def test_what_arrived_is_reported_as_rfc_3550_counts_it(video):
    assert video.reception.block(0.0) is None
    for sequence in (65_534, 65_535, 1, 2):  # one is lost, and the numbers wrap
        video.send(sequence, 1.0)
    video.reception.report(0x0001_0002_0003_0004, 0, 1.5)
    block = video.reception.block(2.0)
    assert (block.fraction_lost, block.packets_lost, block.highest_sequence) == (256 // 5, 1, 65_536 + 2)
    assert (block.lsr, block.dlsr) == (0x0002_0003, 32_768)
    video.send(3, 2.0)
    assert video.reception.block(3.0).fraction_lost == 0


def test_the_jitter_of_a_steady_sender_is_nothing(video):
    for number in range(20):
        video.send(number, 1.0 + number / 30, timestamp=number * 3000)
    assert video.reception.block(2.0).jitter == 0
    video.send(20, 1.0 + 20 / 30 + 0.1, timestamp=60_000)
    assert video.reception.block(3.0).jitter == pytest.approx(9000 / 16, abs=1)


def test_sound_is_passed_on_packet_by_packet():
    audio = Sender("audio")
    for number in (1, 2, 4):
        audio.send(number, 1.0 + number / 50, payload=b"opus", timestamp=number * 960)
    assert [unit.timestamp - audio.units[0].timestamp for unit in audio.units] == [0, 960, 2880]
    assert {(unit.kind, unit.data, unit.key) for unit in audio.units} == {("audio", b"opus", True)}
    assert audio.nacks == []
