import asyncio

import av
import pytest

from services.media.detection.clips import Clips
from services.media.recording.folder import Keep, RecordFolder
from services.media.recording.recordings import Recordings
from services.media.unit import Unit
from tests.moving import pictures


@pytest.fixture
async def clips(tmp_path):
    """Make clips; they are complete in the end."""
    made = []

    async def nobody(_):
        pass

    recordings = Recordings(RecordFolder(tmp_path, Keep()), lambda *_: None, nobody)

    def make(pre_seconds=10.0, post_seconds=60.0):
        made.append(Clips(recordings, "door", lambda: True, pre_seconds, post_seconds))
        made[-1].recordings = recordings
        return made[-1]

    yield make
    for one in made:
        one.end()
    await recordings.close()


def shown(path):
    with av.open(str(path)) as film:
        return sum(1 for _ in film.decode(video=0)), [stream.codec_context.name for stream in film.streams]


async def test_a_clip_has_what_was_before_the_event_and_what_comes_after(clips, tmp_path, until):
    making = clips()
    before, after = pictures(60)[:45], pictures(60)[45:]
    for unit in before:
        making.push(unit)
    name = making.event()
    for unit in after:
        making.push(unit)
    making.end()
    await until(lambda: making.recordings.written == 1)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert shown(tmp_path / name) == (60, ["h264"])


async def test_what_was_long_before_is_not_in_it(clips, tmp_path, until):
    making = clips(pre_seconds=0.0)
    for unit in pictures(75, group=30):
        making.push(unit)
    name = making.event()
    making.end()
    await until(lambda: making.recordings.written == 1)
    assert shown(tmp_path / name)[0] == 15  # the last group, without which its pictures could not be decoded


async def test_events_that_follow_each_other_are_one_clip(clips, tmp_path, until):
    making = clips(post_seconds=0.2)
    units = iter(pictures(600))
    names = set()
    for _ in range(4):
        for _ in range(5):
            making.push(next(units))
        names.add(making.event())
        await asyncio.sleep(0.1)
    assert len(names) == 1
    await until(lambda: making.recordings.written == 1)
    for _ in range(31):
        making.push(next(units))
    assert making.event() not in names


async def test_sound_that_was_heard_is_in_it(clips, tmp_path, until, spoken_packets):
    making = clips()
    for picture, packet in zip(pictures(30), spoken_packets, strict=False):
        making.push(picture)
        making.push(packet)
    name = making.event()
    making.end()
    await until(lambda: making.recordings.written == 1)
    assert shown(tmp_path / name) == (30, ["h264", "opus"])


async def test_without_a_key_frame_there_is_no_clip(clips, tmp_path):
    making = clips()
    for unit in pictures(30)[1:]:
        making.push(unit)
    assert making.event() == ""


async def test_what_is_kept_for_later_is_bounded(clips):
    making = clips()
    (key,) = pictures(1)
    for number in range(100):
        making.push(Unit("video", key.data + bytes(1 << 20), number * 3000, key=True))
    assert len(making._groups) <= 8
