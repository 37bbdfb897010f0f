import asyncio
import gc
import itertools

import grpc
import pytest
from aiortc.rtp import RTCP_PSFB_APP, RtcpPsfbPacket, pack_remb_fci, unpack_remb_fci

from gen.media.v1 import media_pb2
from tests.integration.services.media.leaks import descriptors, new_tasks, own_threads


def brightness(viewer):
    """Tell how bright the middle of the latest picture is."""
    pictures = viewer.frames["video"]
    return int(pictures[-1].to_ndarray(format="gray")[100, 160]) if pictures else None


def shows(viewer, grey):
    return viewer.frames["video"] and abs(brightness(viewer) - grey) < 12


async def test_where_packets_are_not_to_be_had_a_publisher_is_decoded_and_encoded_again(
    serving, publisher, player, until
):
    async with serving(mode="relay", fan_out="stock") as server:
        viewer = player(server)
        await publisher(server, brightness=100).publish()
        await viewer.play()
        await until(lambda: len(viewer.frames["video"]) > 30 and len(viewer.frames["audio"]) > 30)
        assert shows(viewer, 100)


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


@pytest.mark.parametrize("fan_out", ["auto", "stock"])
async def test_publishing_and_closing_at_any_moment_leaves_no_task_and_no_descriptor(
    serving, publisher, until, fan_out
):
    async with serving(mode="relay", fan_out=fan_out) as server:
        await publisher(server).publish()
        await until(lambda: server.sessions().active == 1)
        await server.parts.peers.listed()[0].close()
        gc.collect()
        tasks, open_files, threads = asyncio.all_tasks(), descriptors(), own_threads()
        for number in range(16):
            one = publisher(server)
            await one.publish()
            await asyncio.sleep(number * 0.006)  # ends in another step of connecting each time
            await server.stub.Close(media_pb2.CloseRequest(session_id=one.session_id), timeout=5)
            await one.close()
        await until(lambda: not new_tasks(tasks))
        await until(lambda: descriptors() <= open_files)
        await until(lambda: own_threads() <= threads)
        assert server.sessions().total == 17
        assert (await server.status()).relay.streams == []


async def test_a_publisher_that_loses_packets_is_asked_for_them_and_viewers_see_every_picture(
    serving, publisher, player, until
):
    async with serving(mode="relay") as server:
        one, viewer = publisher(server), player(server, kinds=("video",))
        await one.publish()
        await viewer.play()
        await until(lambda: len(viewer.frames["video"]) >= 5)
        (peer,) = [peer for peer in server.parts.peers.listed() if peer.id == one.session_id]
        again = peer.media._tracks["video"][0]._retransmissions
        received, count, dropped = peer._transport._handle_rtp_data, itertools.count(1), []

        async def lossy(data, arrival_time_ms):
            if data[1] & 0x7F not in again and next(count) % 20 == 0:
                dropped.append(data)
                return
            await received(data, arrival_time_ms)

        peer._transport._handle_rtp_data = lossy
        start = len(viewer.frames["video"])
        await until(lambda: len(viewer.frames["video"]) >= start + 90)
        assert len(dropped) >= 4
        stamps = [frame.pts for frame in viewer.frames["video"][start:]]
        assert max(second - first for first, second in itertools.pairwise(stamps)) < 6000


async def test_a_viewer_that_can_take_little_limits_the_publisher_until_it_leaves(serving, publisher, player, until):
    async with serving(mode="relay", publish_bitrate=1_000_000) as server:
        one, viewer = publisher(server), player(server)
        await one.publish()
        await viewer.play()
        await until(lambda: len(viewer.frames["video"]) >= 5)
        told = []
        (sender,) = [sender for sender in one.connection.getSenders() if sender.kind == "video"]
        handle = sender._handle_rtcp_packet

        async def listening(packet):
            if isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP:
                told.append(unpack_remb_fci(packet.fci)[0])
            await handle(packet)

        sender._handle_rtcp_packet = listening
        await until(lambda: told and abs(told[-1] - 1_000_000) < 10_000)
        receiver = viewer.connection.getTransceivers()[0].receiver
        ssrc = receiver.getSynchronizationSources()[0].source
        estimate = RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=pack_remb_fci(400_000, [ssrc]))
        await receiver._send_rtcp(estimate)
        await until(lambda: abs(told[-1] - 400_000) < 10_000)
        await viewer.close()
        await until(lambda: abs(told[-1] - 1_000_000) < 10_000)


async def test_readiness_tells_of_viewers_that_wait_in_vain(serving, publisher, player, until):
    async with serving(mode="relay") as server:
        await server.parts.health.start()
        assert (await server.status()).preflight.checks[
            3
        ].detail == "No configured media source required for relay mode"
        assert server.parts.health.serving("media.source")
        await player(server).play("news")
        await until(lambda: not server.parts.health.serving("media.source"))
        assert server.parts.health.serving()
        (live,) = [check for check in (await server.status()).preflight.checks if check.name == "source_live"]
        assert (live.result, live.detail) == (
            media_pb2.Check.RESULT_WARN,
            "Viewers wait for a publisher of news",
        )
        await publisher(server).publish("news")
        await until(lambda: server.parts.health.serving("media.source"))


async def test_a_publisher_whose_machine_is_gone_makes_room_for_the_next(serving, publisher, player, until):
    async with serving(mode="relay", silence_seconds=1.0) as server:
        first, second, viewer = publisher(server, brightness=60), publisher(server, brightness=180), player(server)
        await first.publish()
        await until(lambda: server.sessions().active == 1)
        await second.publish()
        await viewer.play()
        await until(lambda: shows(viewer, 60))
        for pair in first.connection.getTransceivers()[0].sender.transport.transport._connection._nominated.values():
            pair.protocol.transport.sendto = lambda *_packet: None  # nobody says goodbye
        await until(lambda: shows(viewer, 180))
        assert [peer.id for peer in server.parts.peers.listed() if peer.media.publishes] == [second.session_id]
