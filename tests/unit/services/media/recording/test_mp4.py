import resource
import signal
from contextlib import contextmanager

import pytest

from services.media import packetize
from services.media.recording.mp4 import Mp4, Unwritable, mend
from services.media.unit import CLOCK_RATES, Unit


def write(mp4, units):
    for unit in units:
        mp4.add(unit, unit.timestamp - round(1000 * CLOCK_RATES[unit.kind]))


@contextmanager
def files_no_larger_than(size):
    """Make the kernel refuse to let any file grow further, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_complete_file_is_an_ordinary_one_that_can_be_searched(footage, film, tmp_path):
    path = tmp_path / "a.mp4"
    units = footage(4, group=30)
    mp4 = Mp4(path, units[0], sound=True)
    write(mp4, units)
    mp4.close()
    found = film(path)
    assert found.codecs == ["h264", "opus"]
    assert found.listed == {"video": 120, "audio": 200}
    assert found.shown == 120
    assert found.keys == [0, 1, 2, 3]
    assert found.times["video"] == pytest.approx([number / 30 for number in range(120)], abs=1e-4)
    assert [box for box in found.boxes if box != "free"] == ["ftyp", "mdat", "moov"]
    assert mp4.size_bytes == path.stat().st_size


def test_nothing_is_encoded_again(footage, film, tmp_path):
    path = tmp_path / "a.mp4"
    units = footage(1)
    mp4 = Mp4(path, units[0], sound=True)
    write(mp4, units)
    mp4.close()
    for stored, unit in zip(film(path).data, [one for one in units if one.kind == "video"], strict=True):
        slices = [part for part in packetize.units(unit.data) if part[0] & 0x1F in (1, 5)]
        assert slices
        assert all(one in stored for one in slices)


@pytest.mark.parametrize("group", [30, 1000])
def test_what_was_written_can_be_played_before_the_end_however_long_the_groups_are(footage, film, tmp_path, group):
    path = tmp_path / "a.mp4.part"
    units = footage(5, group=group)
    mp4 = Mp4(path, units[0], sound=True)
    write(mp4, units)
    found = film(path)
    assert found.shown >= 5 * 30 - 30 - 15
    assert found.times["audio"][-1] >= 5 - 1 - 0.5
    mp4.close()


def test_a_track_that_falls_silent_does_not_hold_the_other_back(footage, film, tmp_path):
    path = tmp_path / "a.mp4.part"
    units = footage(6)
    mp4 = Mp4(path, units[0], sound=True)
    write(mp4, [unit for unit in units if unit.kind == "video" or unit.timestamp < 1001 * 48_000])
    assert film(path).shown >= 6 * 30 - 30 - 30
    mp4.close()
    assert film(path).listed["video"] == 180


def test_sound_alone_is_a_file_too(footage, film, tmp_path):
    path = tmp_path / "a.mp4"
    mp4 = Mp4(path, None, sound=True)
    write(mp4, footage(2, kinds=("audio",)))
    mp4.close()
    assert (film(path).codecs, len(film(path).times["audio"])) == (["opus"], 100)


def test_what_does_not_come_later_than_the_last_is_left_out(footage, film, tmp_path):
    path = tmp_path / "a.mp4"
    units = footage(1, kinds=("video",))
    mp4 = Mp4(path, units[0], sound=False)
    write(mp4, [units[0], units[0], *units[1:], units[3]])
    mp4.add(Unit("audio", b"there is no such track", 0, key=True), 0)
    mp4.close()
    assert film(path).shown == 30


def test_a_picture_that_changes_its_size_goes_on_in_the_same_file(footage, film, tmp_path):
    path = tmp_path / "a.mp4"
    small, large = footage(1, kinds=("video",)), footage(1, kinds=("video",), since=1001.0, size=(640, 360))
    mp4 = Mp4(path, small[0], sound=False)
    write(mp4, small + large)
    mp4.close()
    assert film(path).shown == 60


def test_a_full_disk_is_told_and_leaves_what_was_written(footage, film, tmp_path):
    path = tmp_path / "a.mp4.part"
    units = footage(6)
    mp4 = Mp4(path, units[0], sound=True)
    with files_no_larger_than(60_000), pytest.raises(Unwritable, match="too large"):
        write(mp4, units)
    with files_no_larger_than(60_000), pytest.raises(Unwritable):
        mp4.close()
    whole = tmp_path / "b.mp4"
    assert mend(path, whole) > 1
    assert film(whole).shown > 30
    assert film(whole).listed["video"] == film(whole).shown


def test_a_folder_that_is_not_there_is_told(footage, tmp_path):
    with pytest.raises(Unwritable, match="No such file"):
        Mp4(tmp_path / "gone" / "a.mp4", footage(1)[0], sound=True)


def test_a_first_picture_without_parameter_sets_is_told(tmp_path):
    with pytest.raises(Unwritable):
        Mp4(tmp_path / "a.mp4", Unit("video", b"\0\0\0\1\x65\x88\x84\x21", 0, key=True), sound=False)


def test_what_a_crash_left_is_made_whole(footage, film, tmp_path):
    broken, whole = tmp_path / "a.mp4.part", tmp_path / "a.mp4"
    units = footage(4, group=1000)
    mp4 = Mp4(broken, units[0], sound=True)
    write(mp4, units)
    data = broken.read_bytes()
    mp4.close()
    broken.write_bytes(data[:-500])  # in the middle of a fragment
    assert mend(broken, whole) > 2
    found = film(whole)
    assert found.listed["video"] == found.shown > 60
    assert [box for box in found.boxes if box != "free"] == ["ftyp", "mdat", "moov"]


def test_nothing_can_be_made_of_a_file_without_a_fragment(tmp_path):
    broken = tmp_path / "a.mp4.part"
    broken.write_bytes(b"\0\0\0\x18ftypisom")
    assert mend(broken, tmp_path / "a.mp4") == 0
    assert not (tmp_path / "a.mp4").exists()
