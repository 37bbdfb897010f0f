import fcntl
import os

import pytest

from services.media.recording.folder import Keep, NoRoom, RecordFolder
from services.media.recording.mp4 import Mp4
from services.media.unit import CLOCK_RATES


@pytest.fixture
def folder(tmp_path):
    return lambda **limits: RecordFolder(tmp_path, Keep(**limits))


def put(path, size, age_seconds=0.0):
    path.write_bytes(bytes(size))
    moment = path.stat().st_mtime - age_seconds
    os.utime(path, (moment, moment))


def names(path):
    return sorted(one.name for one in path.iterdir())


def test_a_folder_that_can_be_written_has_room(folder):
    folder(least_free_bytes=1).check()


def test_a_folder_that_is_gone_has_none_until_it_is_back(tmp_path):
    folder = RecordFolder(tmp_path / "recordings", Keep())
    with pytest.raises(NoRoom, match="No such file or directory"):
        folder.check()
    folder.make()
    folder.check()


def test_a_file_in_its_place_has_none(tmp_path):
    (tmp_path / "recordings").touch()
    folder = RecordFolder(tmp_path / "recordings", Keep())
    with pytest.raises(NoRoom, match="Not a directory"):
        folder.check()
    with pytest.raises(NoRoom, match="cannot be made"):
        folder.make()


def test_a_disk_that_is_nearly_full_has_none(folder):
    with pytest.raises(NoRoom, match="MiB are free"):
        folder(least_free_bytes=1 << 60).check()


def test_names_are_safe_and_never_the_same(folder, tmp_path):
    chosen = folder()
    first = chosen.begin("../../etc/a b:ö")
    assert first.parent == tmp_path
    assert first.name.startswith("______etc_a_b__-")
    assert first.name.endswith(".mp4.part")
    assert len({chosen.begin("../../etc/a b:ö") for _ in range(100)} | {first}) == 101
    assert chosen.begin("").name.startswith("recording-")


def test_a_complete_recording_gets_its_name(folder, tmp_path):
    part = folder().begin("live")
    part.touch()
    assert folder().complete(part).name == part.name.removesuffix(".part")
    assert names(tmp_path) == [part.name.removesuffix(".part")]
    with pytest.raises(NoRoom, match="No such file"):
        folder().complete(part)


def test_recordings_past_their_time_are_deleted_and_nothing_else(folder, tmp_path):
    put(tmp_path / "old-1.mp4", 10, age_seconds=100)
    put(tmp_path / "new-2.mp4", 10, age_seconds=10)
    put(tmp_path / "growing.mp4.part", 10, age_seconds=100)
    put(tmp_path / "holiday.mp4", 10, age_seconds=100)
    assert folder(keep_seconds=50).tidy() == ["old-1.mp4"]
    assert names(tmp_path) == ["growing.mp4.part", "holiday.mp4", "new-2.mp4"]


def test_the_oldest_make_room_for_the_newest(folder, tmp_path):
    for age in (10, 20, 30, 40):
        put(tmp_path / f"live-{age}.mp4", 100, age_seconds=age)
    put(tmp_path / "growing.mp4.part", 100)
    assert folder(quota_bytes=350).tidy() == ["live-30.mp4", "live-40.mp4"]
    assert folder(quota_bytes=350).tidy() == []


def test_without_limits_nothing_is_deleted(folder, tmp_path):
    put(tmp_path / "old-1.mp4", 10, age_seconds=10**9)
    assert folder().tidy() == []


def test_a_quota_filled_by_what_is_being_written_is_told(folder, tmp_path):
    folder(quota_bytes=200).check_quota()
    put(tmp_path / "growing.mp4.part", 300)
    folder().check_quota()
    with pytest.raises(NoRoom, match="quota"):
        folder(quota_bytes=200).check_quota()


@pytest.fixture
def left_behind(tmp_path, footage):
    """Leave what a crash leaves."""
    path = tmp_path / "live-1.mp4.part"
    units = footage(3)
    mp4 = Mp4(path, units[0], sound=True)
    for unit in units:
        mp4.add(unit, unit.timestamp - 1000 * CLOCK_RATES[unit.kind])
    data = path.read_bytes()
    mp4.close()
    path.write_bytes(data)
    return path


def test_what_a_crash_left_is_completed(folder, tmp_path, left_behind, film):
    (tmp_path / "live-1.mp4.mending").write_bytes(b"a crash while mending")
    assert folder().mend_all() == [tmp_path / "live-1.mp4"]
    assert names(tmp_path) == ["live-1.mp4"]
    assert film(tmp_path / "live-1.mp4").listed["video"] > 30
    assert folder().mend_all() == []


def test_what_another_process_is_writing_is_left_alone(folder, tmp_path, left_behind):
    with left_behind.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert folder().mend_all() == []
    assert names(tmp_path) == ["live-1.mp4.part"]


def test_a_recording_that_had_hardly_begun_is_removed_and_one_that_cannot_be_read_is_kept(folder, tmp_path):
    put(tmp_path / "short.mp4.part", 100)
    put(tmp_path / "unreadable.mp4.part", 100_000)
    assert folder().mend_all() == []
    assert names(tmp_path) == ["unreadable.mp4.part"]


def test_a_growing_recording_is_locked(folder, tmp_path, footage):
    units = footage(1)
    mp4 = Mp4(tmp_path / "live-1.mp4.part", units[0], sound=True)
    assert folder().mend_all() == []
    assert names(tmp_path) == ["live-1.mp4.part"]
    mp4.close()
