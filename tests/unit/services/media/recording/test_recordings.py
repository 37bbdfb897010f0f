import asyncio
import shutil
import threading

import pytest

from services.media.recording.folder import Keep, NoRoom, RecordFolder
from services.media.recording.recordings import Recordings


@pytest.fixture
async def recordings(tmp_path):
    changes, lost = [], []

    async def on_loss(publisher):
        lost.append(publisher)

    made = Recordings(RecordFolder(tmp_path, Keep()), lambda *change: changes.append(change), on_loss)
    made.changes, made.lost = changes, lost
    yield made
    await made.close()


async def test_publishers_are_recorded_side_by_side_until_each_ends(
    recordings, publishing, footage, film, tmp_path, until
):
    one, other = publishing("one"), publishing("other")
    for publisher in (one, other):
        recordings.record(publisher)
        await until(lambda publisher=publisher: publisher.listeners)
        publisher.push(footage(1))
    await until(lambda: recordings.active == 2)
    assert recordings.written == 0
    recordings.changes.clear()
    one.end()
    await until(lambda: recordings.written == 1)
    assert recordings.active == 1
    assert recordings.changes
    assert one.listeners == []
    other.end()
    await until(lambda: recordings.written == 2)
    assert {film(path).shown for path in tmp_path.iterdir()} == {30}
    assert recordings.lost == []


async def test_closing_completes_what_is_being_recorded(recordings, publishing, footage, tmp_path, until):
    publisher = publishing()
    recordings.record(publisher)
    await until(lambda: publisher.listeners)
    publisher.push(footage(1))
    await recordings.close()
    assert [path.suffix for path in tmp_path.iterdir()] == [".mp4"]
    assert recordings.written == 1


async def test_a_publisher_that_sent_no_picture_leaves_nothing(recordings, publishing, tmp_path, until):
    publisher = publishing()
    recordings.record(publisher)
    await until(lambda: publisher.endings)
    publisher.end()
    await recordings.close()
    assert (recordings.written, list(tmp_path.iterdir())) == (0, [])


async def test_who_goes_on_while_its_recording_cannot_is_told_of(recordings, publishing, footage, tmp_path, until):
    publisher = publishing()
    recordings.record(publisher)
    await until(lambda: publisher.listeners)
    publisher.push(footage(1))
    await until(lambda: recordings.active)
    shutil.rmtree(tmp_path)
    await until(lambda: recordings.lost == [publisher])
    assert (recordings.active, recordings.written, recordings.failed) == (0, 0, 1)


async def test_the_folder_is_looked_at(recordings, tmp_path):
    await recordings.check()
    shutil.rmtree(tmp_path)
    with pytest.raises(NoRoom, match="No such file"):
        await recordings.check()


async def test_a_disk_that_hangs_is_asked_once(tmp_path, until):
    asked, go_on = [], threading.Event()

    class Hanging(RecordFolder):
        def check(self):
            asked.append(1)
            go_on.wait(10)

    recordings = Recordings(Hanging(tmp_path, Keep()), lambda *_: None, None)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(recordings.check(), 0.01)
    assert len(asked) == 1
    go_on.set()
    await recordings.check()


async def test_house_is_kept(recordings, tmp_path, until):
    (tmp_path / "short.mp4.part").write_bytes(bytes(100))
    keeping = asyncio.create_task(recordings.keep_house())
    await until(lambda: not list(tmp_path.iterdir()))
    keeping.cancel()


async def test_a_disk_that_hangs_does_not_keep_the_process_from_ending(publishing, footage, tmp_path, until):
    go_on = threading.Event()

    class Hanging(RecordFolder):
        def complete(self, part):
            go_on.wait(10)
            return super().complete(part)

    recordings = Recordings(Hanging(tmp_path, Keep()), lambda *_: None, None)
    publisher = publishing()
    recordings.record(publisher)
    publisher.push(footage(1))
    await until(lambda: recordings.active)
    await recordings.close(seconds=0.05)
    assert recordings.written == 0
    go_on.set()
