"""Record mode and its files through real gRPC."""

import shutil

import grpc
import pytest

from gen.media.v1 import media_pb2

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
