import asyncio
import itertools
import struct
import time

import pytest

from services.media import fanout
from services.media.fanout import Hub
from services.media.line import Lane, Line
from services.media.unit import Unit

START = b"\x00\x00\x00\x01"
SETS = START + b"\x67sps\x01" + START + b"\x68pps\x01"


def picture(number, *, key=False, sets=False, size=50):
    kind = b"\x65" if key else b"\x41"
    body = kind + bytes([number % 250 + 1]) * size + b"\x80"
    return Unit("video", (SETS if sets else b"") + START + body, number * 3000, key)


def sound(number):
    return Unit("audio", bytes([number]) * 20, number * 960, key=True)


class Recorder:
    """A wire that keeps what it is given."""

    tag_length = 16

    def __init__(self):
        self.packets = []
        self.control = []

    def send(self, template):
        self.packets += [template.buffer[at : at + size] for at, size in template.packets]

    def send_packet(self, packet):
        self.packets.append(packet)

    def send_control(self, packet):
        self.control.append(packet)

    def timestamps(self):
        seen = []
        for packet in self.packets:
            stamp = struct.unpack("!I", packet[4:8])[0]
            if stamp not in seen:
                seen.append(stamp)
        return [(stamp - seen[0]) % (1 << 32) for stamp in seen]

    def sequences(self):
        return [struct.unpack("!H", packet[2:4])[0] for packet in self.packets]


class World:
    """A hub with a source that can or cannot make key frames."""

    def __init__(self):
        self.can_make_keys = True
        self.keys_asked = 0
        self.demands = []
        self.hub = Hub(self._want_key, self.demands.append)

    def _want_key(self):
        self.keys_asked += 1
        return self.can_make_keys

    def viewer(self, kind="video", rtx=97):
        lane = Lane(Recorder(), 96, rtx)
        self.hub.join(kind, lane)
        return lane

    async def send(self, *units):
        for unit in units:
            self.hub.push(unit)
        while self.hub._backlog:
            await asyncio.sleep(0)
        await asyncio.sleep(0)


@pytest.fixture
async def world():
    world = World()
    running = asyncio.create_task(world.hub.run())
    yield world
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_viewer_gets_pictures_from_a_key_frame_on(world):
    await world.send(picture(0, key=True, sets=True), *(picture(number) for number in range(1, 4)))
    world.hub._gop_started = float("-inf")
    lane = world.viewer()
    await world.send(picture(4), picture(5, key=True, sets=True), picture(6))
    assert lane.wire.timestamps() == [0, 3000]
    assert world.keys_asked == 1


async def test_a_viewer_who_joins_just_behind_a_key_frame_gets_it_replayed(world):
    await world.send(picture(0, key=True, sets=True), picture(1))
    lane = world.viewer()
    assert lane.wire.timestamps() == [0, 3000]
    assert world.keys_asked == 0
    await world.send(picture(2))
    assert lane.wire.timestamps() == [0, 3000, 6000]


async def test_a_source_that_makes_no_key_frames_is_replayed_however_old_the_last_one_is(world):
    world.can_make_keys = False
    await world.send(picture(0, key=True, sets=True), *(picture(number) for number in range(1, 50)))
    world.hub._gop_started = float("-inf")
    lane = world.viewer()
    await world.send(picture(50))
    assert lane.wire.timestamps() == [number * 3000 for number in range(51)]


async def test_numbers_go_on_without_a_gap_for_everybody(world):
    first = world.viewer()
    await world.send(picture(0, key=True, sets=True, size=5000), picture(1), picture(2))
    second = world.viewer()
    await world.send(picture(3))
    assert first.wire.sequences() == second.wire.sequences()
    numbers = first.wire.sequences()
    assert numbers == [numbers[0] + place for place in range(len(numbers))]


async def test_only_the_last_packet_of_a_picture_is_marked(world):
    lane = world.viewer()
    await world.send(picture(0, key=True, sets=True, size=5000))
    assert [packet[1] >> 7 for packet in lane.wire.packets] == [0] * (len(lane.wire.packets) - 1) + [1]
    assert {packet[1] & 0x7F for packet in lane.wire.packets} == {96}


async def test_sound_starts_at_once(world):
    await world.send(sound(1))
    lane = world.viewer("audio")
    await world.send(sound(2))
    assert [packet[12:] for packet in lane.wire.packets] == [bytes([2]) * 20]


async def test_a_key_frame_without_parameter_sets_gets_those_seen_before(world):
    lane = world.viewer()
    await world.send(picture(0, key=True, sets=True), picture(1, key=True))
    heads = [packet[12:] for packet in lane.wire.packets if packet[12] & 0x1F == 24]
    assert len(heads) == 2
    assert heads[0] == heads[1]


async def test_who_leaves_gets_nothing_more(world):
    lane = world.viewer()
    await world.send(picture(0, key=True, sets=True))
    count = len(lane.wire.packets)
    world.hub.leave("video", lane)
    await world.send(picture(1))
    assert len(lane.wire.packets) == count


async def test_a_lost_packet_is_sent_again_on_the_retransmission_stream(world):
    lane = world.viewer()
    await world.send(picture(0, key=True, sets=True, size=5000))
    original = lane.wire.packets[2]
    number = struct.unpack("!H", original[2:4])[0]
    lane.wire.packets.clear()
    world.hub.lost("video", lane, [number])
    [again] = lane.wire.packets
    assert again[1] & 0x7F == 97
    assert struct.unpack("!I", again[8:12])[0] == world.hub.lines["video"].rtx_ssrc
    assert again[12:14] == original[2:4]
    assert again[14:] == original[12:]
    assert again[4:8] == original[4:8]
    assert world.hub.sent_again == 1


async def test_without_a_retransmission_stream_the_packet_itself_is_sent_again(world):
    lane = world.viewer(rtx=None)
    await world.send(picture(0, key=True, sets=True, size=5000))
    original = lane.wire.packets[1]
    lane.wire.packets.clear()
    world.hub.lost("video", lane, [struct.unpack("!H", original[2:4])[0]])
    assert lane.wire.packets == [original]


async def test_what_nobody_sent_is_not_sent_again(world):
    lane = world.viewer()
    await world.send(picture(0, key=True, sets=True))
    count = len(lane.wire.packets)
    world.hub.lost("video", lane, [(number + 20_000) % 65_536 for number in lane.wire.sequences()])
    assert len(lane.wire.packets) == count


async def test_a_viewer_cannot_ask_for_more_than_its_share_again(world):
    lane = world.viewer()
    await world.send(picture(0, key=True, sets=True))
    number = lane.wire.sequences()[0]
    for _ in range(3):
        world.hub.lost("video", lane, [number] * 400)
    assert world.hub.sent_again == 500


def line_at(sequence):
    line = Line("video")
    line._sequence = sequence
    return line


async def test_a_viewer_who_joins_near_the_wrap_gets_numbers_far_from_it(world):
    world.hub.lines["video"] = line_at(65_530)
    lane = world.viewer()
    await world.send(picture(0, key=True, sets=True), *(picture(number, size=2000) for number in range(1, 10)))
    numbers = lane.wire.sequences()
    assert numbers[0] == 65_530 - 32_768
    assert numbers == [numbers[0] + place for place in range(len(numbers))]
    lane.wire.packets.clear()
    world.hub.lost("video", lane, [numbers[7]])
    assert lane.wire.packets[0][12:14] == struct.pack("!H", numbers[7])


async def test_numbers_wrap_for_a_viewer_who_was_there_before(world):
    world.hub.lines["video"] = line_at(65_533)
    lane = world.viewer()
    lane.live, lane.shift = True, 0
    await world.send(picture(0, key=False), *(picture(number) for number in range(1, 6)))
    assert lane.wire.sequences() == [65_533, 65_534, 65_535, 0, 1, 2]


async def test_lost_pictures_ask_for_a_key_frame_once_a_second_at_most(world):
    world.viewer()
    asked = world.keys_asked
    for _ in range(5):
        world.hub._key_asked = world.hub._gop_started = float("-inf")
        world.hub.picture_lost()
        world.hub.picture_lost()
        world.hub.picture_lost()
    assert world.keys_asked == asked + 5


async def test_the_source_runs_only_while_somebody_claims_it(world):
    world.hub.claim()
    world.hub.claim()
    world.hub.release()
    assert world.demands == [True]
    world.hub.release()
    assert world.demands == [True, False]


async def test_a_source_that_is_faster_than_the_fan_out_loses_pictures_up_to_a_key_frame():
    world = World()
    lane = world.viewer()
    lane.live = True
    for number in range(fanout._MOST_BACKLOG + 1):
        world.hub.push(picture(number))
    assert world.hub.dropped_units == fanout._MOST_BACKLOG
    assert len(world.hub._backlog) == 1
    assert not lane.live
    assert world.keys_asked >= 1


async def test_a_report_relates_the_track_to_the_wall_clock(world):
    lane = world.viewer()
    await world.send(picture(0, key=True, sets=True), picture(1))
    line = world.hub.lines["video"]
    line.report(lane, line._last.stands_at + 0.5, 1_000_000.25)
    [report] = lane.wire.control
    head, kind, length, ssrc, ntp, stamp, packets, octets = struct.unpack("!BBHIQIII", report[:28])
    assert (head, kind, length, ssrc) == (0x80, 200, 6, line.ssrc)
    assert ntp >> 32 == 1_000_000 + 2_208_988_800
    assert ntp & 0xFFFFFFFF == 1 << 30
    assert (stamp - line._last.timestamp) % (1 << 32) == 45_000
    assert packets == len(lane.wire.packets)
    assert octets == sum(len(packet) - 12 for packet in lane.wire.packets)
    assert len(report) % 4 == 0


async def test_nothing_is_reported_before_anything_was_sent(world):
    lane = Lane(Recorder(), 96, None)
    world.hub.lines["video"].report(lane, 0.0, 0.0)
    assert lane.wire.control == []


async def test_viewers_of_one_class_share_the_laid_out_packets(world):
    await world.send(picture(0, key=True, sets=True))
    frame = world.hub._gop[0]
    first, second = world.viewer(), world.viewer()
    assert frame.templates(first.lane_class) is frame.templates(second.lane_class)
    assert len(frame.rendered) == 1


async def test_a_viewer_that_waits_makes_the_source_be_asked_again_until_a_key_frame_comes(world):
    world.hub._key_asked = float("-inf")
    waiting = world.viewer()
    assert world.keys_asked == 1
    world.hub._key_asked -= 1.0  # what was asked for is lost
    await world.send(picture(1), picture(2))
    assert world.keys_asked == 2
    assert waiting.wire.packets == []
    await world.send(picture(3, key=True, sets=True))
    world.hub._key_asked = world.hub._gop_started = float("-inf")
    await world.send(picture(4))
    assert world.keys_asked == 2


async def test_a_viewers_numbers_go_on_where_the_source_is_cut_wherever_they_are(world):
    line = world.hub.lines["video"]
    line._sequence = fanout.HALF - 1
    lane = world.viewer()
    await world.send(picture(0, key=True, sets=True), picture(1))
    world.hub.cut()
    await world.send(picture(2))
    seen = len(lane.wire.packets)
    await world.send(picture(3, key=True, sets=True))
    assert len(lane.wire.packets) > seen
    numbers = lane.wire.sequences()
    assert numbers[:seen] == list(range(numbers[0], numbers[0] + seen))
    assert numbers[seen] == numbers[seen - 1] + 2  # what nobody was sent has had a number


async def test_a_cut_makes_late_viewers_wait_for_what_follows(world):
    await world.send(picture(0, key=True, sets=True), picture(1))
    world.hub.cut()
    assert world.viewer().wire.packets == []


async def test_sound_and_picture_are_reported_on_one_clock_however_late_a_picture_comes(world):
    clock = [100.0, 100.02, 100.09]
    video, audio = world.hub.lines["video"], world.hub.lines["audio"]
    hub = world.hub
    at = [hub._stands_at(sound(0), clock[0]), hub._stands_at(sound(1), clock[1])]
    late = hub._stands_at(picture(0, key=True), clock[2])
    assert at == pytest.approx([100.0, 100.02], abs=1e-3)
    assert late == pytest.approx(100.0, abs=1e-3)
    assert hub._stands_at(sound(2), 500.0) == pytest.approx(500.0)
    assert (video.kind, audio.kind) == ("video", "audio")


async def test_the_least_that_a_viewer_can_take_is_told_and_forgotten_with_the_viewer():
    told = []
    hub = Hub(lambda: True, lambda _wanted: None, told.append)
    lanes = [Lane(Recorder(), 96, None) for _ in range(2)]
    for lane, bitrate in zip(lanes, (900_000, 400_000), strict=True):
        hub.join("video", lane)
        hub.estimated(lane, bitrate)
    hub.leave("video", lanes[1])
    hub.leave("video", lanes[0])
    assert told == [900_000, 400_000, 900_000, 0]


async def test_a_source_that_makes_no_key_frames_when_asked_is_replayed_until_it_does(world):
    hub = world.hub
    await world.send(picture(0, key=True, sets=True), picture(1))
    hub._gop_started -= 1.0
    first = world.viewer()
    assert first.wire.packets == []
    hub._first_asked -= 1.0  # the group ends by itself, long after it was asked to
    await world.send(picture(2, key=True, sets=True), picture(3))
    hub._gop_started -= 1.0
    second = world.viewer()
    assert second.wire.timestamps() == [0, 3000]
    hub._key_asked = float("-inf")
    world.viewer()
    await world.send(picture(4, key=True, sets=True), picture(5))  # now it does
    hub._gop_started -= 1.0
    assert world.viewer().wire.packets == []


class Slow(Recorder):
    """A wire that takes a millisecond for each picture."""

    def send(self, template):
        time.sleep(0.001)
        super().send(template)


async def test_one_picture_for_many_viewers_leaves_the_loop_free_every_few_milliseconds(world):
    lanes = [world.viewer() for _ in range(60)]
    for lane in lanes:
        lane.wire = Slow()
    served = []

    async def look():
        while not lanes[-1].wire.packets:
            served.append(sum(bool(lane.wire.packets) for lane in lanes))
            await asyncio.sleep(0)
        served.append(len(lanes))

    looking = asyncio.create_task(look())
    await world.send(picture(0, key=True, sets=True))
    await looking
    assert (
        max(after - before for before, after in itertools.pairwise(served)) <= 6
    )  # 5 ms and the one that exceeds them
    assert all(lane.wire.packets for lane in lanes)


async def test_who_leaves_in_the_middle_of_a_picture_is_not_sent_it(world):
    first, *others, last = [world.viewer() for _ in range(20)]
    for lane in (first, *others):
        lane.wire = Slow()

    async def leave():
        while not first.wire.packets:
            await asyncio.sleep(0)
        world.hub.leave("video", last)

    leaving = asyncio.create_task(leave())
    await world.send(picture(0, key=True, sets=True), picture(1))
    await leaving
    while len(others[-1].wire.timestamps()) < 2:  # with the second picture the first is done
        await asyncio.sleep(0)
    assert not last.wire.packets
