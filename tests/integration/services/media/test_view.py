import asyncio
import gc
import itertools
import re

import grpc
import numpy as np
import pytest
from aiortc import RTCSessionDescription

from gen.media.v1 import media_pb2
from services.media.offer import UnusableOffer, parse
from tests.integration.services.media.leaks import descriptors, new_tasks, own_threads


@pytest.mark.parametrize("fan_out", ["auto", "plain", "stock"])
async def test_a_player_decodes_moving_pictures_and_sound(serving, player, until, fan_out):
    async with serving(fan_out=fan_out) as server:
        viewer = player(server)
        await viewer.play()
        await until(lambda: len(viewer.frames["video"]) >= 45 and len(viewer.frames["audio"]) >= 50)
        pictures = viewer.frames["video"]
        assert {(one.width, one.height) for one in pictures} == {(320, 180)}
        # The receiver's clock is RTP's, 90 kHz: 30 pictures a second are 3000 apart, none missing.
        steps = {second.pts - first.pts for first, second in itertools.pairwise(pictures)}
        assert steps == {3000}
        first, last = (one.to_ndarray(format="gray").astype(int) for one in (pictures[0], pictures[-1]))
        assert np.abs(first - last).mean() > 1
        tone = np.concatenate([one.to_ndarray().reshape(-1)[::2] for one in viewer.frames["audio"][10:50]])
        strongest = np.abs(np.fft.rfft(tone)).argmax() * 48_000 / len(tone)
        assert 420 < strongest < 460


async def test_sessions_rise_and_fall_and_the_total_only_rises(serving, player, until):
    async with serving() as server:
        first, second = player(server), player(server)
        await first.play()
        await until(lambda: server.sessions().active == 1)
        await second.play()
        await until(lambda: server.sessions().active == 2)
        assert (await server.status()).sessions == media_pb2.Sessions(active=2, total=2, peak=2)
        await first.close()
        await until(lambda: server.sessions().active == 1)
        await server.stub.Close(media_pb2.CloseRequest(session_id=second.session_id), timeout=5)
        await until(lambda: server.sessions().active == 0)
        assert (await server.status()).sessions == media_pb2.Sessions(active=0, total=2, peak=2)


async def test_the_status_feed_tells_a_session_without_being_asked(serving, player):
    async with serving() as server:
        watching = server.stub.WatchStatus(media_pb2.WatchStatusRequest(), timeout=20)
        assert (await watching.read()).status.sessions.active == 0
        await player(server).play()
        while (await watching.read()).status.sessions.active != 1:
            pass
        watching.cancel()


async def test_sessions_are_listed_by_the_beginning_of_their_ids(serving, player, until):
    async with serving() as server:
        viewer = player(server)
        await viewer.play()
        await until(lambda: server.sessions().active == 1)
        [one] = (await server.stub.ListSessions(media_pb2.ListSessionsRequest(), timeout=5)).sessions
        assert viewer.session_id.startswith(one.id_prefix)
        assert len(one.id_prefix) < len(viewer.session_id)
        assert (one.stream, one.direction, one.state) == (
            "live",
            media_pb2.Session.DIRECTION_VIEW,
            media_pb2.Session.STATE_ACTIVE,
        )


async def test_the_answer_is_passive_bundled_and_has_every_candidate(serving, player):
    async with serving() as server:
        viewer = player(server)
        await viewer.ask()
        assert viewer.answer.count("a=setup:passive") == 2
        assert viewer.answer.count("a=sendonly") == 2
        assert "a=end-of-candidates" in viewer.answer
        assert set(re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ (\S+)", viewer.answer)) == {
            ("127.0.0.1", re.search(r"m=video (\d+)", viewer.answer)[1], "host")
        }
        assert re.search(r"a=rtpmap:\d+ rtx/90000", viewer.answer)
        assert "VP8" not in viewer.answer
        assert "extmap" not in viewer.answer


async def test_what_a_player_sends_is_not_taken(serving, player):
    async with serving() as server:
        viewer = player(server, kinds=())
        for kind in ("video", "audio"):
            viewer.connection.addTransceiver(kind, direction="sendrecv")
        viewer.connection.addTransceiver("video", direction="sendonly")
        await viewer.ask()
        assert re.findall(r"a=(sendonly|recvonly|sendrecv|inactive)", viewer.answer) == [
            "sendonly",
            "sendonly",
            "inactive",
        ]


@pytest.mark.parametrize("text", ["", "hello", "v=0\r\n", "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF x\r\n", "x" * 200_000])
async def test_garbage_is_an_invalid_argument_and_leaves_nothing(serving, text):
    async with serving() as server:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.stub.View(media_pb2.ViewRequest(offer_sdp=text), timeout=5)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert text == "" or text not in refused.value.details()
        assert server.parts.peers.listed() == []
        assert server.sessions().total == 0


async def test_an_offer_that_only_looks_sound_is_an_invalid_argument_and_leaves_nothing(serving, player):
    async with serving() as server:
        offer = (await player(server).offer()).replace("a=setup:actpass", "a=setup:sometimes")
        await server.status()  # the channel connects
        before = descriptors()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.stub.View(media_pb2.ViewRequest(offer_sdp=offer), timeout=5)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert server.parts.peers.listed() == []
        assert server.parts.streams.hub("live")._claims == 0
        assert descriptors() == before


async def test_an_offer_without_h264_is_unimplemented(serving, player):
    async with serving() as server:
        offer = re.sub("H264/90000", "AV1/90000", await player(server).offer())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.stub.View(media_pb2.ViewRequest(offer_sdp=offer), timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_unknown_names_are_not_found(serving, player):
    async with serving() as server:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await player(server).ask(stream="other")
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.stub.Close(media_pb2.CloseRequest(session_id="none"), timeout=5)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_one_viewer_too_many_is_refused_and_may_come_back(serving, player, until):
    async with serving(max_viewers=1) as server:
        first, second = player(server), player(server)
        await first.play()
        await until(lambda: server.sessions().active == 1)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await second.ask()
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refused.value.details() == "no session can be taken now: 1 of 1 sessions are taken"
        assert await capacity(server) == (
            media_pb2.Check.RESULT_WARN,
            "No session is taken now: 1 of 1 sessions are taken",
        )
        assert server.sessions().refused == 1
        await first.close()
        await until(lambda: not server.parts.peers.listed())
        await player(server).play()


async def capacity(server):
    checks = (await server.status()).preflight.checks
    return next((one.result, one.detail) for one in checks if one.name == "capacity")


async def test_nobody_is_taken_while_the_processor_is_busy_and_who_is_there_stays(serving, player, until):
    async with serving() as server:
        first, second = player(server, kinds=("video",)), player(server, kinds=("video",))
        await first.play()
        await until(lambda: server.parts.load.share > 0)
        server.parts.load.most = 1e-9
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await second.ask()
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refused.value.details() == "no session can be taken now: the processor is busy"
        assert await capacity(server) == (media_pb2.Check.RESULT_WARN, "No session is taken now: the processor is busy")
        seen = len(first.frames["video"])
        await until(lambda: len(first.frames["video"]) >= seen + 10)
        server.parts.load.most = 0.0
        assert await capacity(server) == (media_pb2.Check.RESULT_PASS, "New sessions are taken")
        await second.play()
        await until(lambda: second.frames["video"])


async def test_an_answer_nobody_connects_to_is_freed_and_counted_as_failed(serving, player, until):
    async with serving(setup_seconds=0.5) as server:
        offer = await player(server).offer()
        await server.status()  # the channel connects
        before = descriptors()
        await server.stub.View(media_pb2.ViewRequest(offer_sdp=offer), timeout=5)
        assert len(server.parts.peers.listed()) == 1
        await until(lambda: not server.parts.peers.listed())
        assert server.sessions().failed == 1
        assert server.sessions().active == 0
        assert server.parts.streams.hub("live")._claims == 0
        await until(lambda: descriptors() <= before)


def stop_reporting(viewer):
    for transceiver in viewer.connection.getTransceivers():
        transceiver.receiver._RTCRtpReceiver__rtcp_task.cancel()


def stop_answering(viewer):
    connection = viewer.connection.getTransceivers()[0].receiver.transport.transport._connection
    connection.request_received = lambda *arguments: None


async def test_a_player_whose_machine_is_gone_is_dropped(serving, player, until):
    async with serving(silence_seconds=1.0) as server:
        viewer = player(server, kinds=("video",))
        await viewer.play()
        await until(lambda: len(viewer.frames["video"]) > 5)
        stop_reporting(viewer)
        stop_answering(viewer)  # nobody says goodbye
        await until(lambda: not server.parts.peers.listed())
        assert server.sessions().failed == 0


async def test_a_player_that_reports_nothing_but_is_there_is_kept(serving, player, until):
    async with serving(silence_seconds=1.0) as server:
        viewer = player(server, kinds=("video",))
        await viewer.play()
        await until(lambda: len(viewer.frames["video"]) > 5)
        stop_reporting(viewer)
        await until(lambda: len(viewer.frames["video"]) > 100)
        assert server.sessions().active == 1


async def test_a_player_that_leaves_before_it_was_heard_is_dropped(serving, player, until):
    async with serving(silence_seconds=1.0) as server:
        viewer = player(server)
        await viewer.play()
        await until(lambda: server.sessions().active == 1)
        await viewer.close()  # in the middle of its handshake: it cannot say goodbye
        await until(lambda: not server.parts.peers.listed())


@pytest.mark.parametrize("fan_out", ["auto", "stock"])
async def test_connecting_and_closing_at_any_moment_leaves_no_task_and_no_descriptor(serving, player, until, fan_out):
    async with serving(fan_out=fan_out) as server:
        await player(server).play()
        await until(lambda: server.sessions().active == 1)
        await server.parts.peers.listed()[0].close()
        gc.collect()
        tasks, open_files, threads = asyncio.all_tasks(), descriptors(), own_threads()
        for number in range(24):
            viewer = player(server)
            await viewer.play()
            await asyncio.sleep(number * 0.004)  # ends in another step of connecting each time
            await server.stub.Close(media_pb2.CloseRequest(session_id=viewer.session_id), timeout=5)
            await viewer.close()
        await until(lambda: not new_tasks(tasks))
        await until(lambda: descriptors() <= open_files)
        await until(lambda: own_threads() <= threads)
        assert server.sessions().active == 0
        assert server.sessions().total == 25
        hub = server.parts.streams.hub("live")
        assert (hub._claims, hub._taps, [line.lanes for line in hub.lines.values()]) == (0, [], [[], []])


async def test_lost_packets_are_sent_again_and_nothing_freezes(serving, player, until):
    async with serving() as server:
        viewer = player(server, kinds=("video",))
        await viewer.play()
        await until(lambda: len(viewer.frames["video"]) >= 5)
        transport = viewer.connection.getTransceivers()[0].receiver.transport
        received, dropped = transport._handle_rtp_data, []

        async def lossy(data, arrival_time_ms):
            if len(dropped) * 20 < len(viewer.frames["video"]) and data[1] & 0x7F in (97, 99):
                dropped.append(data)
                return
            await received(data, arrival_time_ms)

        transport._handle_rtp_data = lossy
        start = len(viewer.frames["video"])
        await until(lambda: len(viewer.frames["video"]) >= start + 90)
        assert len(dropped) >= 4
        assert server.parts.streams.hub("live").sent_again >= len(dropped) - 1
        stamps = [one.pts for one in viewer.frames["video"][start:]]
        assert max(second - first for first, second in itertools.pairwise(stamps)) == 3000


async def test_a_late_viewer_sees_the_first_picture_without_waiting_for_the_next_group(serving, player, until):
    async with serving() as server:
        early, late = player(server), player(server)
        await early.play()
        await until(lambda: len(early.frames["video"]) >= 20)
        keys = []
        server.parts.streams.hub("live").tap(
            lambda unit: keys.append(unit) if unit.key and unit.kind == "video" else None
        )
        await late.play()
        await until(lambda: late.frames["video"])
        # A key frame was made for it: the group of two seconds would have brought the next one much later.
        assert keys
        await until(lambda: len(late.frames["video"]) >= 10)
        stamps = [one.pts for one in late.frames["video"]]
        assert {second - first for first, second in itertools.pairwise(stamps)} == {3000}


async def test_nothing_is_encoded_while_nobody_watches(serving, player, until):
    async with serving(silence_seconds=1.0) as server:
        hub = server.parts.streams.hub("live")
        units = []
        hub._taps.append(units.append)
        viewer = player(server)
        await viewer.play()
        await until(lambda: server.sessions().active == 1 and len(units) > 10)
        await viewer.close()
        async with asyncio.timeout(10):
            count = -1
            while count != len(units):  # thirty a second while it runs
                count = len(units)
                await asyncio.sleep(0.3)


async def test_ending_the_process_ends_its_sessions(serving, player, until):
    async with serving() as server:
        viewer = player(server)
        await viewer.play()
        await until(lambda: server.sessions().active == 1)
        await server.parts.peers.close_all()
        await until(lambda: viewer.connection.connectionState == "closed")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await player(server).ask()
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_further_offer_of_the_same_connection_is_answered_and_the_picture_goes_on(serving, player, until):
    async with serving() as server:
        viewer = player(server)
        await viewer.play()
        await until(lambda: len(viewer.frames["video"]) >= 5)
        (peer,) = server.parts.peers.listed()
        answer = await peer.answer_again(parse(await viewer.offer()), seconds=5)
        await viewer.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        assert answer.count("a=sendonly") == 2
        start = len(viewer.frames["video"])
        await until(lambda: len(viewer.frames["video"]) >= start + 15)
        assert server.sessions().total == 1


async def test_a_further_offer_with_another_section_is_refused_and_the_session_goes_on(serving, player, until):
    async with serving() as server:
        viewer = player(server, kinds=("video",))
        await viewer.play()
        await until(lambda: server.sessions().active == 1)
        other = await player(server).offer()
        (peer,) = server.parts.peers.listed()
        with pytest.raises(UnusableOffer):
            await peer.answer_again(parse(other), seconds=5)
        assert server.sessions().active == 1


@pytest.mark.parametrize(
    "line",
    ["", "candidate:", "a=candidate:1 1 udp 1 nowhere.local 9 typ host", "candidate:1 x udp 1 127.0.0.1 9 typ host"],
)
async def test_a_candidate_that_is_of_no_use_changes_nothing(serving, player, until, line):
    async with serving() as server:
        viewer = player(server)
        await viewer.play()
        (peer,) = server.parts.peers.listed()
        await peer.add_candidate(line, "0")
        await until(lambda: server.sessions().active == 1)
