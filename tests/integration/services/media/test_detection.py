"""Motion and speech found in what publishers really send."""

import asyncio
import gc
import threading

import av
import pytest

from gen.media.v1 import media_pb2
from tests.integration.services.media.leaks import descriptors, new_tasks
from tests.speech import spoken

SEEING = {"vision_enabled": True, "motion_threshold": 0.002, "motion_cooldown_usec": 200_000}


def detail(document):
    return dict(document.intelligence.vision_detail)


@pytest.mark.parametrize("mode", ["relay", "record"])
async def test_what_moves_before_a_publishers_camera_is_told(serving, watching, publisher, tmp_path, until, mode):
    async with serving(mode=mode, record_dir=str(tmp_path), **SEEING) as server, watching(server, "vision") as events:
        moving = publisher(server, kinds=("video",))
        await moving.publish("door")
        await until(lambda: len(events) >= 2, 20)
        document = await server.status()
        assert document.intelligence.vision_active
        counters = detail(document)
        assert counters["detectorEmitted"] >= 2
        assert counters["sourceFrames"] > counters["sampledFrames"] >= counters["detectorEmitted"]
        assert counters["clipsEnabled"] is False
        await server.stub.Close(media_pb2.CloseRequest(session_id=moving.session_id), timeout=5)
        await until(lambda: not server.parts.detection.vision_active, 20)
    event = events[0]
    assert moving.session_id.startswith(event.session_id_prefix)
    assert len(event.session_id_prefix) == 6
    data = dict(event.data)
    assert (data["schema"], data["type"], data["detector"]) == ("vision.event.v1", "detect", "motion")
    assert data["source"] == "door"
    frame = dict(data["frame"])
    assert (frame["width"], frame["height"], frame["pixelFmt"]) == (320, 180, "yuv420p")
    assert frame["streamId"] == "stream/door"
    (found, *_) = data["detections"]
    box = dict(found["region"])
    assert box["y"] == 0  # the white square runs along the top
    assert box["height"] < 0.2
    assert 0 < dict(data["data"])["score"] < 0.1
    assert "snapshot" not in dict(data["data"])


async def test_events_leave_pictures_and_films_behind(serving, watching, publisher, tmp_path, until):
    keeping = {"snapshots_enabled": True, "clips_enabled": True, "clips_post_roll_usec": 500_000}
    async with serving(mode="relay", record_dir=str(tmp_path), **SEEING, **keeping) as server:
        async with watching(server, "vision") as events:
            moving = publisher(server)
            await moving.publish("door")
            await until(lambda: len(events) >= 5, 20)
            await moving.close()
            await until(lambda: not server.parts.detection.vision_detail()["clipActive"], 20)
        counters = server.parts.detection.vision_detail()
        listed = await server.stub.ListRecordings(media_pb2.ListRecordingsRequest(), timeout=5)
        names = {one.name for one in listed.recordings}
        told = dict(dict(events[-1].data)["data"])
        snapshot, clip = dict(told["snapshot"])["url"], dict(told["clip"])["url"]
    assert {url.removeprefix("/artifacts/") for url in (snapshot, clip)} <= names
    assert counters["lastClipUrl"] == clip
    assert counters["clips"] == sum(name.startswith("clips/") for name in names) >= 1
    assert counters["snapshots"] == sum(name.endswith(".png") for name in names)
    assert (counters["snapshotDir"], counters["clipDir"]) == ("snapshots", "clips")
    with av.open(str(tmp_path / snapshot.removeprefix("/artifacts/"))) as picture:
        (image,) = picture.decode(video=0)
        assert (image.width, image.height) == (320, 180)
        assert 80 < image.to_ndarray(format="gray")[100, 160] < 120
    with av.open(str(tmp_path / clip.removeprefix("/artifacts/"))) as film:
        assert [stream.codec_context.name for stream in film.streams] == ["h264", "opus"]
        assert film.duration > 500_000
        assert sum(1 for _ in film.decode(video=0)) > 15


async def test_who_speaks_into_a_publishers_microphone_is_heard(serving, watching, publisher, tmp_path, until):
    sound = spoken(tmp_path, 48_000)
    async with serving(mode="relay", speech_enabled=True) as server, watching(server, "speech") as events:
        await publisher(server, kinds=("audio",), sound=sound).publish("door")
        await until(lambda: {"speech:start", "speech:update", "speech:end"} <= {told(one) for one in events}, 20)
        document = await server.status()
    assert told(events[0]) == "speech:start"
    data = dict(events[0].data)
    assert (data["source"], data["detector"], data["active"]) == ("door", "silero_vad", True)
    audio = dict(data["audio"])
    assert (audio["sampleRate"], audio["channels"], audio["numSamples"], audio["duration"]) == (16_000, 1, 512, 32_000)
    assert data["peak"] >= data["level"] > 0
    assert set(dict(data["data"])) == {"startThreshold", "stopThreshold"}
    counters = dict(document.intelligence.speech_detail)
    assert document.intelligence.speech_active
    assert counters["detectorEmitted"] >= 3
    assert counters["detector"] == "silero_vad"


def told(event):
    return dict(event.data)["type"]


async def test_a_source_that_nobody_watches_is_looked_at_all_the_same(serving, watching, until):
    async with serving(vision_enabled=True, motion_threshold=0.002) as server, watching(server, "vision") as events:
        await until(lambda: events, 20)
        assert (await server.status()).intelligence.vision_active
    data = dict(events[0].data)
    assert (data["source"], dict(data["frame"])["streamId"]) == ("testsrc", "stream/live")
    assert events[0].session_id_prefix == ""


async def test_nothing_is_looked_at_unless_it_is_asked_for(serving, until):
    async with serving() as server:
        intelligence = (await server.status()).intelligence
        assert not intelligence.vision_active
        assert not intelligence.HasField("vision_detail")
        assert server.parts.streams.hub("live").claimed() == 0


async def test_too_many_streams_wait_for_their_turn_and_that_is_told(serving, watching, publisher, until):
    async with serving(mode="relay", detection_most_streams=1, **SEEING) as server:
        publishers = [publisher(server, kinds=("video",)) for _ in range(2)]
        for name, each in zip(("one", "two"), publishers, strict=True):
            await each.publish(name)
        await until(lambda: server.parts.detection.passed_over == 1)
        report = (await server.stub.GetReadiness(media_pb2.GetReadinessRequest(), timeout=5)).preflight
        (check,) = [one for one in report.checks if one.name == "detection"]
        assert check.result == media_pb2.Check.RESULT_WARN
        assert "too many: 1" in check.detail
        async with watching(server, "vision") as events:
            await server.stub.Close(media_pb2.CloseRequest(session_id=publishers[0].session_id), timeout=5)
            await until(lambda: any(dict(event.data)["source"] == "two" for event in events), 20)
        assert server.parts.detection.passed_over == 0


async def test_who_was_recorded_and_looked_at_leaves_no_task_thread_or_descriptor(serving, publisher, tmp_path, until):
    watched = {**SEEING, "speech_enabled": True, "clips_enabled": True, "snapshots_enabled": True}
    async with serving(mode="record", record_dir=str(tmp_path), **watched) as server:
        recordings = server.parts.recordings

        async def publish():
            one, before = publisher(server), recordings.written
            await one.publish()
            await until(lambda: recordings.active, 20)
            await server.stub.Close(media_pb2.CloseRequest(session_id=one.session_id), timeout=5)
            await one.close()
            await until(lambda: recordings.written > before, 20)

        await publish()
        await until(lambda: not working())
        gc.collect()
        tasks, open_files = asyncio.all_tasks(), descriptors()
        for _ in range(5):
            await publish()
        await until(lambda: not working(), 20)
        await until(lambda: not new_tasks(tasks), 20)
        await until(lambda: descriptors() <= open_files, 20)
        assert recordings.written == 6


def working():
    return [one.name for one in threading.enumerate() if one.name in ("vision", "speech", "recording")]
