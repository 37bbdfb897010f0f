"""What happens in the media process, as whoever watches its events is told."""

import shutil

import pytest

from gen.media.v1 import media_pb2


def types(events):
    return [event.type for event in events]


async def test_a_session_and_its_recording_are_told(serving, watching, publisher, tmp_path, until):
    async with serving(mode="record", record_dir=str(tmp_path)) as server, watching(server) as events:
        sending = publisher(server, kinds=("video",))
        await sending.publish("door")
        await until(lambda: "recording.begun" in types(events))
        await server.stub.Close(media_pb2.CloseRequest(session_id=sending.session_id), timeout=5)
        await until(lambda: "recording.complete" in types(events))
        await until(lambda: "session.ended" in types(events))
    told = {event.type: event for event in events}
    assert types(events)[:2] == ["session.active", "recording.begun"]
    assert dict(told["session.active"].data) == {"stream": "door", "direction": "publish"}
    assert told["session.active"].session_id_prefix == sending.session_id[:6]
    assert dict(told["recording.begun"].data)["name"].endswith(".mp4.part")
    assert (tmp_path / dict(told["recording.complete"].data)["name"]).is_file()
    assert dict(told["session.ended"].data)["reason"]


async def test_a_component_that_is_lost_and_comes_back_is_told_with_the_reason(serving, watching, tmp_path, until):
    folder = tmp_path / "recordings"
    folder.mkdir()
    async with serving(mode="record", record_dir=str(folder)) as server, watching(server) as events:
        shutil.rmtree(folder)
        await until(lambda: events)
        folder.mkdir()
        await until(lambda: len(events) == 2)
    assert types(events) == ["record_dir.lost", "record_dir.back"]
    assert "No such file" in dict(events[0].data)["reason"]


@pytest.mark.parametrize("wanted", ["session.ended", "vision"])
async def test_only_what_was_asked_for_is_told(serving, watching, player, until, wanted):
    async with serving() as server, watching(server, wanted) as events, watching(server) as everything:
        viewing = player(server)
        await viewing.play()
        await until(lambda: "session.active" in types(everything))
        await server.stub.Close(media_pb2.CloseRequest(session_id=viewing.session_id), timeout=5)
        await until(lambda: "session.ended" in types(everything))
        await until(lambda: events or wanted == "vision")
        assert dict(everything[0].data) == {"stream": "live", "direction": "view"}
    assert set(types(events)) == ({"session.ended"} if wanted == "session.ended" else set())


async def test_watching_ends_with_the_process(serving):
    async with serving() as server:
        call = server.stub.WatchEvents(media_pb2.WatchEventsRequest(), timeout=60)
        await call.initial_metadata()
        server.parts.stop()
        assert [event async for event in call] == []
