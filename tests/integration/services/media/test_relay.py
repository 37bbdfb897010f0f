import itertools

import grpc
import pytest

from gen.media.v1 import media_pb2


def brightness(viewer):
    """Tell how bright the middle of the latest picture is."""
    pictures = viewer.frames["video"]
    return int(pictures[-1].to_ndarray(format="gray")[100, 160]) if pictures else None


def shows(viewer, grey):
    return viewer.frames["video"] and abs(brightness(viewer) - grey) < 12


async def test_what_a_publisher_sends_reaches_every_viewer_unchanged(serving, publisher, player, until):
    async with serving(mode="relay") as server:
        viewers = [player(server), player(server)]
        await publisher(server, brightness=100).publish()
        for viewer in viewers:
            await viewer.play()
        await until(lambda: all(len(one.frames["video"]) > 30 and len(one.frames["audio"]) > 30 for one in viewers))
        for viewer in viewers:
            assert shows(viewer, 100)
            assert (viewer.frames["video"][0].width, viewer.frames["video"][0].height) == (320, 180)
            stamps = [frame.pts for frame in viewer.frames["video"]]
            assert all(2700 < second - first < 3300 for first, second in itertools.pairwise(stamps[:30]))
        assert server.sessions().active == 3


async def test_a_viewer_may_wait_for_its_publisher(serving, publisher, player, until):
    async with serving(mode="relay") as server:
        viewer = player(server)
        await viewer.play("news")
        await until(lambda: server.sessions().active == 1)
        await publisher(server).publish("news")
        await until(lambda: shows(viewer, 100))


async def test_streams_of_different_names_do_not_meet(serving, publisher, player, until):
    async with serving(mode="relay") as server:
        first, second = player(server), player(server)
        await first.play("first")
        await second.play("second")
        await publisher(server, brightness=60).publish("first")
        await publisher(server, brightness=180).publish("second")
        await until(lambda: len(first.frames["video"]) > 20 and len(second.frames["video"]) > 20)
        assert shows(first, 60)
        assert shows(second, 180)


async def test_the_next_publisher_takes_over_when_the_source_ends(serving, publisher, player, until):
    async with serving(mode="relay") as server:
        first, second, viewer = publisher(server, brightness=60), publisher(server, brightness=180), player(server)
        await first.publish()
        await until(lambda: server.sessions().active == 1)
        await second.publish()
        await viewer.play()
        await until(lambda: shows(viewer, 60))
        [stream] = (await server.status()).relay.streams
        assert first.session_id.startswith(stream.source_peer)
        assert [second.session_id.startswith(waiting) for waiting in stream.waiting_peers] == [True]
        await first.close()
        await until(lambda: shows(viewer, 180))
        assert second.session_id.startswith((await server.status()).relay.source_peer)
        stamps = [frame.pts for frame in viewer.frames["video"]]
        assert all(second > first for first, second in itertools.pairwise(stamps))


async def test_a_publisher_in_stream_mode_is_refused(serving, publisher):
    async with serving() as server:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await publisher(server).ask()
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert server.parts.peers.listed() == []


async def test_sessions_tell_who_publishes(serving, publisher, player, until):
    async with serving(mode="relay") as server:
        await publisher(server).publish()
        await player(server).play()
        await until(lambda: server.sessions().active == 2)
        sessions = (await server.stub.ListSessions(media_pb2.ListSessionsRequest(), timeout=5)).sessions
        assert [one.direction for one in sessions] == [
            media_pb2.Session.DIRECTION_PUBLISH,
            media_pb2.Session.DIRECTION_VIEW,
        ]
