"""Record mode and its files through real gRPC."""

import shutil

import av
import grpc
import pytest
from prometheus_client import CollectorRegistry

from gen.media.v1 import media_pb2
from services.media import metrics
from services.media.status import Activity

RECORD_DIR = "media.record_dir"


async def check(server):
    report = (await server.stub.GetReadiness(media_pb2.GetReadinessRequest(), timeout=5)).preflight
    return {one.name: one.result for one in report.checks}["record_dir"]


async def test_a_record_directory_that_goes_away_and_comes_back_is_noticed(serving, tmp_path, until):
    folder = tmp_path / "recordings"
    folder.mkdir()
    async with serving(mode="record", record_dir=str(folder)) as server:
        health = server.parts.health
        assert health.serving(RECORD_DIR)
        assert health.serving()
        assert await check(server) == media_pb2.Check.RESULT_PASS
        shutil.rmtree(folder)
        await until(lambda: not health.serving(RECORD_DIR), 2.0)
        assert not health.serving()
        assert await check(server) == media_pb2.Check.RESULT_FAIL
        folder.mkdir()
        await until(lambda: health.serving(), 2.0)
        assert await check(server) == media_pb2.Check.RESULT_PASS


async def test_stream_mode_needs_no_record_directory(serving, tmp_path):
    async with serving(record_dir=str(tmp_path / "gone")) as server:
        assert server.parts.health.serving()
        assert (await server.stub.ListRecordings(media_pb2.ListRecordingsRequest(), timeout=5)).recordings == []


async def read(server, name, **asked):
    request = media_pb2.ReadArtifactRequest(name=name, **asked)
    return [answer async for answer in server.stub.ReadArtifact(request, timeout=10)]


async def test_an_artifact_is_listed_and_read_in_pieces(serving, tmp_path):
    data = bytes(range(256)) * 1000
    (tmp_path / "live-1.mp4").write_bytes(data)
    async with serving(record_dir=str(tmp_path)) as server:
        listed = await server.stub.ListRecordings(media_pb2.ListRecordingsRequest(), timeout=5)
        facts, *pieces = await read(server, "live-1.mp4")
        some = await read(server, "live-1.mp4", offset=10, length=20)
        facts_alone = await read(server, "live-1.mp4", info_only=True)
    assert [(one.name, one.size_bytes, one.active) for one in listed.recordings] == [("live-1.mp4", len(data), False)]
    assert (facts.info.size_bytes, facts.info.media_type) == (len(data), "video/mp4")
    assert b"".join(piece.data for piece in pieces) == data
    assert max(len(piece.data) for piece in pieces) == 64 * 1024
    assert b"".join(piece.data for piece in some[1:]) == data[10:30]
    assert facts_alone == [facts]


@pytest.mark.parametrize(
    ("name", "offset", "code"),
    [
        ("../secret", 0, grpc.StatusCode.PERMISSION_DENIED),
        ("nothing.mp4", 0, grpc.StatusCode.NOT_FOUND),
        ("", 0, grpc.StatusCode.NOT_FOUND),
        ("live-1.mp4", 5, grpc.StatusCode.OUT_OF_RANGE),
    ],
)
async def test_what_cannot_be_read_says_why(serving, tmp_path, name, offset, code):
    (tmp_path / "live-1.mp4").write_bytes(b"12345")
    async with serving(record_dir=str(tmp_path)) as server:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await read(server, name, offset=offset)
    assert refusal.value.code() == code
    assert str(tmp_path) not in refusal.value.details()


async def names(server):
    listed = await server.stub.ListRecordings(media_pb2.ListRecordingsRequest(), timeout=5)
    return [(one.name, one.active) for one in listed.recordings]


def content(path):
    """Tell codecs, seconds and how bright the middle of the last picture is; every picture must decode."""
    with av.open(str(path)) as container:
        codecs = [stream.codec_context.name for stream in container.streams]
        seconds = container.duration / av.time_base
        pictures = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
        assert container.streams.video[0].frames == len(pictures)
    return codecs, seconds, int(pictures[-1][100, 160])


async def test_publishers_are_recorded_side_by_side_until_they_hang_up(serving, publisher, tmp_path, until):
    async with serving(mode="record", record_dir=str(tmp_path)) as server:
        one, other = publisher(server, brightness=60), publisher(server, brightness=180)
        await one.publish("first")
        await other.publish("second")
        await until(lambda: server.parts.recordings.active == 2)
        during = await server.status()
        assert (during.recordings.active, during.recordings.written) == (2, 0)
        growing = await names(server)
        assert all(active and name.endswith(".mp4.part") for name, active in growing)
        await until(lambda: all(path.stat().st_size > 10_000 for path in tmp_path.iterdir()), 20)
        for each in (one, other):
            await server.stub.Close(media_pb2.CloseRequest(session_id=each.session_id), timeout=5)
        await until(lambda: server.parts.recordings.written == 2)
        finished = dict(await names(server))
        assert set(finished.values()) == {False}
        assert (await server.status()).recordings.active == 0
        registry = CollectorRegistry()
        parts = server.parts
        metrics.export(
            Activity(parts.load, parts.peers, parts.streams, parts.recordings, parts.detection, parts.signalling),
            registry,
        )
        assert registry.get_sample_value("pulsegate_media_recordings_total") == 2
        assert registry.get_sample_value("pulsegate_media_recordings_active") == 0
        assert registry.get_sample_value("pulsegate_media_detections_total", {"kind": "vision"}) == 0
    for name in finished:
        codecs, seconds, grey = content(tmp_path / name)
        assert codecs == ["h264", "opus"]
        assert seconds > 1
        assert abs(grey - (60 if name.startswith("first-") else 180)) < 12


async def test_a_publisher_that_vanishes_leaves_a_whole_file(serving, publisher, tmp_path, until):
    async with serving(mode="record", record_dir=str(tmp_path)) as server:
        gone = publisher(server, kinds=("video",))
        await gone.publish()
        await until(lambda: server.parts.recordings.active)
        await gone.close()
        await until(lambda: server.parts.recordings.written)
    (path,) = tmp_path.iterdir()
    assert content(path)[0] == ["h264"]


async def test_recordings_are_complete_when_the_process_has_ended(serving, publisher, tmp_path, until):
    async with serving(mode="record", record_dir=str(tmp_path)) as server:
        await publisher(server).publish()
        await until(lambda: server.parts.recordings.active)
    (path,) = tmp_path.iterdir()
    assert path.suffix == ".mp4"
    content(path)


async def test_nobody_is_taken_who_could_not_be_recorded(serving, publisher, tmp_path, until):
    folder = tmp_path / "recordings"
    async with serving(mode="record", record_dir=str(folder)) as server:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await publisher(server).publish()
        assert refusal.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "media.record_dir" in refusal.value.details()


async def test_who_cannot_be_recorded_any_more_is_hung_up_on(serving, publisher, tmp_path, until):
    folder = tmp_path / "recordings"
    folder.mkdir()
    async with serving(mode="record", record_dir=str(folder)) as server:
        await publisher(server).publish()
        await until(lambda: server.parts.recordings.active)
        shutil.rmtree(folder)
        await until(lambda: server.sessions().active == 0)
        assert (await server.status()).recordings.active == 0


async def test_what_is_recorded_cannot_be_viewed(serving, player, tmp_path):
    async with serving(mode="record", record_dir=str(tmp_path)) as server:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await player(server).play()
        assert refusal.value.code() == grpc.StatusCode.FAILED_PRECONDITION
