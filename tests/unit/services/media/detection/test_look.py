import asyncio
from dataclasses import replace

import av
import pytest

from services.media.detection.look import Look, Shelf
from services.media.detection.motion import MotionSettings
from services.media.detection.settings import DetectionSettings
from services.media.detection.vision import VisionSettings
from services.media.events import Events
from services.media.recording.folder import Keep, RecordFolder
from services.media.recording.recordings import Recordings
from tests.moving import pictures

SEEING = DetectionSettings(
    vision_enabled=True,
    vision=VisionSettings(every_nth_frame=2, min_interval_usec=0, queue_depth=1000),
    motion=MotionSettings(threshold=0.002, cooldown_usec=0),
)
HEARING = DetectionSettings(speech_enabled=True, speech_queue_depth=10_000)


class Stream:
    """Something to look at that sends what a test says."""

    stream, label, publisher = "door", "front door", "abcdefghij"

    def __init__(self):
        self.keys_asked = 0
        self.listening = False

    def listen(self, listener):
        self.listening = True

        def stop():
            self.listening = False

        return stop

    def want_key(self):
        self.keys_asked += 1
        return True

    def on_end(self, function):
        pass


@pytest.fixture
async def look(tmp_path):
    """Look at a stream; what happens is collected."""
    looks, clips = [], []

    async def nobody(_):
        pass

    def make(settings):
        stream, events, told = Stream(), Events(), []
        events.listen(told.append)
        clips.append(Recordings(RecordFolder(tmp_path / "clips", Keep()), lambda *_: None, nobody))
        (tmp_path / "clips").mkdir(exist_ok=True)
        shelf = Shelf(RecordFolder(tmp_path / "snapshots", Keep()), clips[-1])
        looks.append(Look(stream, settings, shelf, events))
        looks[-1].stream, looks[-1].told = stream, told
        return looks[-1]

    yield make
    await asyncio.gather(*(one.close() for one in looks))
    await asyncio.gather(*(one.close() for one in clips))


async def test_real_speech_is_heard_from_its_packets(look, spoken_packets, until):
    hearing = look(HEARING)
    for unit in spoken_packets:
        hearing.push(unit)
    await until(lambda: hearing.speech.inbox.depth == 0 and not hearing.speech.counters.voiced)
    await until(lambda: hearing.told and hearing.told[-1].data["type"] == "speech:end")
    assert hearing.told[0].data["type"] == "speech:start"
    assert hearing.told[0].session == "abcdefghij"
    assert hearing.told[0].data["time"] / 1e6 - 10 == pytest.approx(1, abs=0.3)
    assert hearing.told[0].data["source"] == "front door"
    assert hearing.told[-1].data["time"] / 1e6 - 10 == pytest.approx(len(spoken_packets) / 50 - 1, abs=0.6)
    times = [event.data["time"] for event in hearing.told]
    assert times == sorted(times)


async def test_a_hole_in_the_sound_ends_speech(look, spoken_packets, until):
    hearing = look(HEARING)
    middle = spoken_packets[: len(spoken_packets) // 2]
    for unit in middle:
        hearing.push(unit)
    hearing.push(replace(spoken_packets[0], timestamp=middle[-1].timestamp + 480_000))
    await until(lambda: hearing.told and hearing.told[-1].data["type"] == "speech:end")


async def test_damaged_packets_are_left_out(look, spoken_packets, until):
    hearing = look(HEARING)
    for number, unit in enumerate(spoken_packets):
        hearing.push(replace(unit, data=b"\xff\xff\xff") if number % 50 == 7 else unit)
    await until(lambda: any(event.data["type"] == "speech:start" for event in hearing.told))


async def test_what_moves_is_seen_and_what_stands_still_is_not(look, until):
    moving, still = look(SEEING), look(SEEING)
    for one, units in ((moving, pictures(60)), (still, pictures(60, moving=False))):
        for unit in units:
            one.push(unit)
    await until(lambda: moving.vision.counters.seen == still.vision.counters.seen == 60)
    await until(lambda: len(moving.told) == 28)  # every second picture but those that prime it
    assert still.told == []
    event = moving.told[0].data
    assert event["frame"]["ptsUsec"] == pytest.approx(10_166_666, abs=1)
    assert event["frame"]["frameId"] == 6
    assert event["data"]["latencyUsec"] >= 0
    assert event["emittedAtUsec"] == event["frame"]["receivedAtUsec"]
    assert moving.vision.counters.detector_emitted == 28


async def test_only_so_many_pictures_a_second_are_looked_at(look, until):
    seeing = look(replace(SEEING, vision=VisionSettings(every_nth_frame=1, min_interval_usec=200_000)))
    for unit in pictures(60):
        while seeing.vision.inbox.depth:
            await asyncio.sleep(0)
        seeing.push(unit)
    await until(lambda: seeing.vision.counters.seen == 60)
    assert seeing.vision.counters.sampled == pytest.approx(10, abs=1)
    assert seeing.vision.counters.sampled_dropped == 60 - seeing.vision.counters.sampled


@pytest.mark.parametrize(
    ("width", "height", "form", "normalized", "converted"),
    [(160, 90, "", 30, 0), (0, 0, "gray", 30, 30), (0, 0, "rgb24", 30, 30), (0, 0, "yuv420p", 0, 0)],
)
async def test_pictures_are_brought_into_the_form_that_is_wanted(
    look, until, width, height, form, normalized, converted
):
    vision = replace(SEEING.vision, width=width, height=height, pixel_format=form)
    seeing = look(replace(SEEING, vision=vision))
    for unit in pictures(60):
        seeing.push(unit)
    await until(lambda: len(seeing.told) == 28)
    counters = seeing.vision.counters
    assert (counters.normalized, counters.normalizer_converted) == (normalized, converted)
    assert seeing.told[0].data["frame"]["width"] == 320


async def test_a_form_that_there_is_not_is_counted_and_harms_nothing(look, until):
    seeing = look(replace(SEEING, vision=replace(SEEING.vision, pixel_format="nonsense")))
    for unit in pictures(20):
        seeing.push(unit)
    await until(lambda: seeing.vision.counters.normalizer_dropped == 10)
    assert seeing.told == []


async def test_more_than_can_be_looked_at_is_dropped_and_a_key_frame_asked_for(look, until):
    seeing = look(replace(SEEING, vision=VisionSettings(every_nth_frame=2, queue_depth=4)))
    for unit in pictures(60, group=1000, size=(1280, 720)):
        seeing.push(unit)  # all at once, which no thread can keep up with
    assert seeing.vision.inbox.depth <= 8
    assert seeing.vision.inbox.dropped > 0
    assert seeing.stream.keys_asked > 0


async def test_damaged_pictures_are_left_out(look, until):
    seeing = look(SEEING)
    for number, unit in enumerate(pictures(90)):
        seeing.push(replace(unit, data=b"\0\0\0\1\x65garbage") if number == 10 else unit)
    await until(lambda: seeing.vision.counters.seen >= 60)
    await until(lambda: seeing.told)


async def test_snapshots_are_kept_at_their_distance_and_named_again_between(look, until, tmp_path):
    seeing = look(replace(SEEING, snapshots_enabled=True, snapshots_min_interval_usec=500_000))
    for unit in pictures(60):
        seeing.push(unit)
    await until(lambda: len(seeing.told) == 28)
    urls = [event.data["data"]["snapshot"]["url"] for event in seeing.told]
    names = sorted(path.name for path in (tmp_path / "snapshots").iterdir())
    assert sorted({url.removeprefix("/artifacts/snapshots/") for url in urls}) == names
    assert len(names) == seeing.snapshots == 4
    assert names[0] == f"front_door-{seeing.told[0].data['emittedAtUsec']}.png"
    with av.open(str(tmp_path / "snapshots" / names[0])) as picture:
        image = next(picture.decode(video=0)).to_ndarray(format="gray")
    assert image.shape == (180, 320)
    assert (image[60, 60], image[150, 300]) == (pytest.approx(250, abs=8), pytest.approx(100, abs=8))


async def test_a_disk_without_room_costs_snapshots_and_nothing_else(look, until, tmp_path):
    (tmp_path / "snapshots").touch()  # no folder can be made here
    seeing = look(replace(SEEING, snapshots_enabled=True))
    for unit in pictures(60):
        seeing.push(unit)
    await until(lambda: len(seeing.told) == 28)
    assert all("snapshot" not in event.data["data"] for event in seeing.told)
    assert seeing.snapshots == 0


async def test_who_is_looked_at_no_more_is_not_listened_to(look):
    seeing = look(SEEING)
    assert seeing.stream.listening
    await seeing.close()
    assert not seeing.stream.listening
