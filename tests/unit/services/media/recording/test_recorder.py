import asyncio
import os
import pickle
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from services.media.recording.folder import Keep, RecordFolder
from services.media.recording.recorder import KEY_SECONDS, MOST_WAITING_BYTES, Recorder

BOTH = ("video", "audio")
KILLED = Path(__file__).with_name("killed_recorder.py")
ROOT = Path(__file__).parents[5]


@pytest.fixture
async def record(tmp_path, publishing):
    """Begin recordings; each is ended."""
    begun = []

    def begin(label="live", kinds=BOTH, want_key=lambda: None, key_seconds=KEY_SECONDS, **keep):
        folder = RecordFolder(tmp_path, Keep(**keep))
        begun.append(Recorder(folder, publishing(label, kinds, want_key), lambda _: None, key_seconds))
        return begun[-1]

    yield begin
    await asyncio.gather(*(end(one) for one in begun))


async def end(recorder):
    recorder.stop()
    async with asyncio.timeout(10):
        await recorder.ended()


def feed(recorder, units):
    for unit in units:
        recorder.push(unit)


async def test_a_recording_begins_with_the_first_key_frame_and_has_its_name_when_complete(
    record, footage, film, tmp_path
):
    recorder = record("a viewer|x")
    units = footage(2, group=30)
    feed(recorder, units[10:])  # joined in the middle of a group
    await end(recorder)
    assert recorder.failure == ""
    assert [path.name for path in tmp_path.iterdir()] == [recorder.name]
    assert recorder.name.startswith("a_viewer_x-")
    found = film(tmp_path / recorder.name)
    assert found.shown == found.listed["video"] == 30
    assert found.times["video"][0] == found.times["audio"][0] == pytest.approx(0, abs=0.02)


async def test_sound_and_picture_stay_together_as_the_publisher_sent_them(record, footage, film, tmp_path):
    recorder = record()
    units = footage(1)
    late = [replace(unit, timestamp=unit.timestamp + 4800) if unit.kind == "audio" else unit for unit in units]
    feed(recorder, late)
    await end(recorder)
    found = film(tmp_path / recorder.name)
    assert found.times["video"][0] == 0
    assert found.times["audio"][0] == pytest.approx(0.1, abs=0.001)


async def test_it_grows_as_a_part_that_plays(record, footage, film, tmp_path, until):
    recorder = record()
    feed(recorder, footage(3))
    await until(lambda: list(tmp_path.glob("*.mp4.part")))
    part = next(tmp_path.glob("*.mp4.part"))
    await until(lambda: part.stat().st_size > 10_000)
    assert recorder.name == part.name
    assert film(part).shown >= 30


async def test_without_a_picture_there_is_no_file(record, footage, tmp_path):
    recorder = record()
    feed(recorder, footage(1, kinds=("audio",)))
    await end(recorder)
    assert (recorder.name, list(tmp_path.iterdir())) == ("", [])


async def test_sound_alone_is_recorded_where_no_picture_was_agreed(record, footage, film, tmp_path):
    recorder = record(kinds=("audio",))
    feed(recorder, footage(1, kinds=("audio",)))
    await end(recorder)
    assert len(film(tmp_path / recorder.name).times["audio"]) == 50


async def test_several_are_recorded_at_once(record, footage, film, tmp_path):
    recorders = [record(f"camera{number}") for number in range(3)]
    for unit in footage(1):
        for recorder in recorders:
            recorder.push(unit)
    await asyncio.gather(*(end(recorder) for recorder in recorders))
    assert len({recorder.name for recorder in recorders}) == 3
    assert {film(path).shown for path in tmp_path.iterdir()} == {30}


async def test_a_disk_that_is_too_slow_costs_whole_groups_and_never_memory(record, footage, film, tmp_path):
    asked = []
    recorder = record(kinds=("video",), want_key=lambda: asked.append(1))
    units = footage(4, group=30, kinds=("video",))
    filler = b"\0\0\0\1\x0c" + b"\xff" * (MOST_WAITING_BYTES // 40) + b"\x80"
    fat = [replace(unit, data=unit.data + filler) if 30 <= number < 90 else unit for number, unit in enumerate(units)]
    feed(recorder, fat)  # sixty of them are more than may wait
    await end(recorder)
    found = film(tmp_path / recorder.name)
    assert 0 < recorder.dropped_units < 90
    assert found.shown == 120 - recorder.dropped_units
    assert len(found.keys) >= 2


async def test_key_frames_are_asked_for_now_and_then_so_that_the_file_can_be_searched(record, footage, until):
    asked = []
    recorder = record(kinds=("video",), want_key=lambda: asked.append(1), key_seconds=0.05)
    key, picture, *_ = footage(1, kinds=("video",))
    recorder.push(key)
    recorder.push(picture)
    assert asked == []

    def push_and_look():
        recorder.push(picture)
        return asked

    await until(push_and_look)
    asked.clear()
    recorder.push(key)
    recorder.push(picture)
    assert asked == []


async def test_a_key_frame_is_asked_for_again_while_there_is_none(record, footage, until):
    asked = []
    recorder = record(kinds=("video",), want_key=lambda: asked.append(1))
    picture = footage(1, kinds=("video",))[1]

    def push_and_look():
        recorder.push(picture)
        return len(asked) >= 2

    await until(push_and_look)
    assert recorder.waiting_bytes == 0


async def test_a_folder_that_vanishes_ends_the_recording_and_says_why(record, footage, tmp_path, until):
    recorder = record()
    feed(recorder, footage(1))
    await until(lambda: recorder.name)
    shutil.rmtree(tmp_path)
    await until(lambda: recorder.failure)
    assert "No such file" in recorder.failure
    await end(recorder)


async def test_a_disk_that_fills_up_ends_the_recording_and_keeps_what_there_is(record, footage, film, tmp_path, until):
    recorder = record(least_free_bytes=1 << 60)
    feed(recorder, footage(1))
    await until(lambda: recorder.failure)
    assert "are free" in recorder.failure
    await end(recorder)
    assert film(tmp_path / recorder.name).shown == 30


@pytest.mark.parametrize("group", [30, 10_000])
async def test_a_process_that_is_killed_loses_a_second_at_most(footage, film, tmp_path, group):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        KILLED,
        tmp_path,
        stdin=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    await process.communicate(pickle.dumps(footage(6, group=group)))
    assert process.returncode == -signal.SIGKILL
    (part,) = tmp_path.iterdir()
    assert part.name.endswith(".mp4.part")
    found = film(part)
    assert found.times["video"][-1] >= 6 - 1 - 0.5  # half a second may wait to be interleaved
    assert found.shown == len(found.times["video"])
    (whole,) = RecordFolder(tmp_path, Keep()).mend_all()
    assert film(whole).listed["video"] == found.shown
