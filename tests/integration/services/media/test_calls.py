"""Calls by signalling against the real parts: a scripted client on the `Signal` stream, players made of aiortc."""

import asyncio
import json

import grpc
import pytest
from aiortc import RTCSessionDescription

from gen.media.v1 import media_pb2
from services.media.calls import Candidate, candidate_of
from services.media.events import Event

SERVER = "icey|server"


class Caller:
    """A client on one `Signal` stream."""

    def __init__(self, server):
        self._call = server.stub.Signal()
        self._heard = []
        self.address = ""

    async def write(self, **kind):
        await self._call.write(media_pb2.SignalRequest(**kind))

    async def enter(self, user="viewer"):
        await self.write(open={"peer_address": "192.0.2.1", "path": "/"})
        await self.say(type="auth", user=user)
        welcome = await self.hear("welcome")
        self.address = f"{user}|{welcome['peer']['id']}"
        return self

    async def say(self, **fields):
        await self.write(frame=json.dumps(fields).encode())

    async def call(self, subtype, data=None, to=SERVER):
        await self.say(type="message", to=to, subtype=subtype, data=data or {})

    async def hear(self, *wanted):
        """The next message of a type or subtype."""
        async with asyncio.timeout(10):
            while True:
                while not self._heard:
                    self._heard = [json.loads(one) for one in (await self._call.read()).frames.frames]
                message = self._heard.pop(0)
                if message.get("subtype", message["type"]) in wanted:
                    return message

    async def accepted(self):
        await self.call("call:init")
        return await self.hear("call:accept")

    async def play(self, viewer):
        await self.accepted()
        await self.offer(viewer)
        return self

    async def offer(self, viewer):
        await self.call("call:offer", {"type": "offer", "sdp": await viewer.offer()})
        answer = await self.hear("call:answer")
        assert (answer["from"], answer["to"]) == (SERVER, self.address)
        assert answer["data"]["type"] == "answer"
        await viewer.connection.setRemoteDescription(RTCSessionDescription(answer["data"]["sdp"], "answer"))

    def cut(self):
        self._call.cancel()


async def enter(server, user="viewer"):
    return await Caller(server).enter(user)


async def test_a_call_plays_and_a_hang_up_ends_it_without_a_word(serving, player, until):
    async with serving() as server:
        caller, viewer = await enter(server), player(server)
        accept = await caller.accepted()
        assert accept == {"type": "message", "from": SERVER, "to": caller.address, "subtype": "call:accept"}
        await caller.offer(viewer)
        await until(lambda: len(viewer.frames["video"]) >= 5 and len(viewer.frames["audio"]) >= 5)
        assert (server.sessions().active, server.sessions().total) == (1, 1)
        await caller.call("call:hangup", {"reason": "hangup"})
        await until(lambda: not server.parts.peers.listed())
        await caller.call("call:init")
        assert (await caller.hear("call:accept", "call:hangup"))["subtype"] == "call:accept"


async def test_a_second_call_of_the_same_address_is_busy_and_the_first_goes_on(serving, player, until):
    async with serving() as server:
        caller, viewer = await enter(server), player(server)
        await caller.play(viewer)
        await caller.call("call:init")
        assert (await caller.hear("call:reject"))["data"] == {"reason": "busy"}
        start = len(viewer.frames["video"])
        await until(lambda: len(viewer.frames["video"]) >= start + 5)


async def test_no_call_is_accepted_that_could_not_be_served(serving, player, until):
    async with serving(max_viewers=1) as server:
        first, second = await enter(server), await enter(server)
        await first.play(player(server))
        await second.call("call:init")
        assert (await second.hear("call:reject"))["data"] == {"reason": "capacity"}
        assert (server.sessions().total, server.sessions().refused) == (1, 1)


async def test_candidates_count_before_the_offer_and_the_empty_one_is_no_error(serving, player, until):
    async with serving() as server:
        caller, viewer = await enter(server), player(server)
        lines = (await viewer.offer()).splitlines()
        await caller.accepted()
        for line in [one for one in lines if one.startswith("a=candidate")]:
            await caller.call("call:candidate", {"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0})
        await caller.call("call:candidate", {"candidate": "", "sdpMid": "0"})
        await caller.call("call:candidate", {})
        bare = "\r\n".join(one for one in lines if "candidate" not in one) + "\r\n"
        await caller.call("call:offer", {"type": "offer", "sdp": bare})
        answer = await caller.hear("call:answer")
        await viewer.connection.setRemoteDescription(RTCSessionDescription(answer["data"]["sdp"], "answer"))
        await until(lambda: viewer.frames["video"])


async def test_the_status_counts_who_is_connected_by_signalling(serving, until):
    async with serving() as server:
        await enter(server, "one")
        second = await enter(server, "two")
        assert (await server.status()).signalling_peers == 2
        second.cut()
        await until(lambda: server.parts.signalling.connected == 1)


async def test_a_further_offer_is_answered_in_the_same_session(serving, player, until):
    async with serving() as server:
        caller, viewer = await enter(server), player(server)
        await caller.play(viewer)
        await until(lambda: server.sessions().active == 1)
        await caller.offer(viewer)
        start = len(viewer.frames["video"])
        await until(lambda: len(viewer.frames["video"]) >= start + 5)
        assert server.sessions().total == 1


async def test_what_others_say_of_a_call_does_not_touch_it(serving, player, until):
    async with serving() as server:
        caller, other, viewer = await enter(server), await enter(server), player(server)
        await caller.play(viewer)
        await other.call("call:hangup")
        await other.call("call:offer", {"type": "offer", "sdp": "v=0"})
        await other.say(type="message", to=SERVER, subtype="call:hangup", **{"from": caller.address})
        await other.accepted()
        start = len(viewer.frames["video"])
        await until(lambda: len(viewer.frames["video"]) >= start + 5)


@pytest.mark.parametrize("sdp", ["", "hello", "v=0\r\n"])
async def test_an_offer_that_is_none_ends_the_call_with_a_reason_that_does_not_quote_it(serving, sdp):
    async with serving() as server:
        caller = await enter(server)
        await caller.accepted()
        await caller.call("call:offer", {"type": "offer", "sdp": sdp})
        reason = (await caller.hear("call:hangup"))["data"]["reason"]
        assert reason.startswith("the offer ")
        assert server.parts.peers.listed() == []
        await caller.accepted()


async def test_a_call_without_an_offer_ends(serving):
    async with serving(setup_seconds=0.2) as server:
        caller = await enter(server)
        await caller.accepted()
        assert (await caller.hear("call:hangup"))["data"] == {"reason": "no offer in time"}


async def test_a_caller_whose_transport_is_gone_is_told_why(serving, player, until):
    async with serving() as server:
        caller, viewer = await enter(server), player(server)
        await caller.play(viewer)
        await until(lambda: viewer.frames["video"])  # connected on its side too: it can say goodbye
        await viewer.close()
        assert (await caller.hear("call:hangup"))["data"] == {"reason": "connection closed"}
        await caller.accepted()


async def test_a_caller_who_never_connects_is_told_so(serving, player):
    async with serving(setup_seconds=0.5) as server:
        caller = await enter(server)
        await caller.accepted()
        await caller.call("call:offer", {"type": "offer", "sdp": await player(server).offer()})
        await caller.hear("call:answer")
        assert (await caller.hear("call:hangup"))["data"] == {"reason": "never connected"}
        assert server.sessions().failed == 1


async def test_a_source_that_is_gone_is_told_without_secret_or_path(serving, player, until, tmp_path):
    source = tmp_path / "planted" / "clip.mp4"
    async with serving(source=str(source)) as server:
        await until(lambda: not server.parts.health.serving("media.source"))
        caller = await enter(server)
        await caller.accepted()
        await caller.call("call:offer", {"type": "offer", "sdp": await player(server).offer()})
        reason = (await caller.hear("call:hangup"))["data"]["reason"]
        assert reason == "source unavailable: Local media source not found: clip.mp4"


@pytest.mark.parametrize("moment", ["accepted", "answered", "active"])
@pytest.mark.parametrize("how", ["cut", "closed"])
async def test_a_lost_socket_ends_the_call_whatever_it_has_come_to(serving, player, until, moment, how):
    async with serving() as server:
        caller, viewer, other = await enter(server), player(server), await enter(server)
        await caller.accepted()
        if moment != "accepted":
            await caller.call("call:offer", {"type": "offer", "sdp": await viewer.offer()})
            answer = await caller.hear("call:answer")
        if moment == "active":
            await viewer.connection.setRemoteDescription(RTCSessionDescription(answer["data"]["sdp"], "answer"))
            await until(lambda: server.sessions().active == 1)
        if how == "cut":
            caller.cut()
        else:
            await caller.write(closed={"code": 1001})
        await until(lambda: not server.parts.peers.listed() and not server.parts.calls._calls)
        gone = await other.hear("presence")
        while gone["data"]["online"]:
            gone = await other.hear("presence")
        assert gone["from"] == caller.address


async def test_a_stream_that_does_not_begin_by_opening_is_refused(serving):
    async with serving() as server:
        call = server.stub.Signal()
        await call.write(media_pb2.SignalRequest(frame=b"{}"))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_client_that_does_not_read_what_it_is_sent_is_cut_off(serving, until):
    async with serving() as server:
        deaf, loud = await enter(server, "deaf"), [await enter(server, f"loud{number}") for number in range(4)]
        for one in loud:
            for _ in range(60):
                await one.say(type="message", to=deaf.address, data="x" * 60_000)
        exchange = server.parts.signalling._exchange
        await until(lambda: any(c.outbox._closing is not None for c in exchange._clients))
        (cut,) = [c for c in exchange._clients if c.outbox._closing is not None]
        assert cut.member.address == deaf.address
        assert cut.outbox._frames == type(cut.outbox._frames)()
        deaf.cut()
        await until(lambda: len(exchange) == 4)


async def publish_and_view(server, publisher, viewer, until, sender, receiver):
    await sender.play(publisher)
    await until(lambda: server.sessions().active == 1)
    await receiver.play(viewer)
    await until(lambda: len(viewer.frames["video"]) >= 5)


async def test_in_relay_mode_who_sends_is_published_to_who_receives(serving, player, publisher, until):
    async with serving(mode="relay") as server:
        sender, receiver = await enter(server, "sender"), await enter(server, "receiver")
        giving, viewing = publisher(server), player(server)
        await publish_and_view(server, giving, viewing, until, sender, receiver)
        await sender.call("call:hangup")
        await until(lambda: server.sessions().active == 1)


@pytest.mark.parametrize(
    ("data", "taken"),
    [
        (("candidate:1 1 udp 2 192.0.2.1 9 typ host", "0"), True),
        (("a=candidate:1 1 udp 2 2001:db8::1 9 typ host", "0"), True),
        (("candidate:1 1 udp 2 x.local 9 typ host", "0"), False),
        (("candidate:1 1 udp 2 example.com 9 typ host", "0"), False),
        (("candidate:1 1 udp", "0"), False),
        (("", "0"), False),
        ((None, "0"), False),
        (("candidate:1 1 udp 2 192.0.2.1 9 typ host", None), False),
    ],
)
def test_only_addresses_of_a_named_section_are_candidates(data, taken):
    line, mid = data
    assert candidate_of({"candidate": line, "sdpMid": mid}) == (Candidate(line, mid) if taken else None)


async def test_a_hang_up_that_comes_after_the_end_of_the_connection_is_not_answered_into_the_next_call(
    serving, player, until
):
    async with serving() as server:
        caller, viewer = await enter(server), player(server)
        await caller.play(viewer)
        await until(lambda: viewer.frames["video"])
        await viewer.close()
        await until(lambda: not server.parts.peers.listed())
        await caller.call("call:hangup")
        await caller.call("call:init")
        assert (await caller.hear("call:accept", "call:hangup"))["subtype"] == "call:accept"
        await caller.offer(player(server))
        await until(lambda: server.sessions().active == 1)


async def test_a_call_whose_connection_is_gone_does_not_make_the_next_one_busy(serving, player, until):
    async with serving() as server:
        caller, viewer = await enter(server), player(server)
        await caller.play(viewer)
        await until(lambda: viewer.frames["video"])
        await viewer.close()
        await until(lambda: not server.parts.peers.listed())
        await until(lambda: all(call.over for call, _ in server.parts.calls._calls.values()))
        await caller.call("call:init")
        assert (await caller.hear("call:accept", "call:reject"))["subtype"] == "call:accept"


async def test_what_is_detected_is_told_to_who_sees_it_and_to_nobody_else(serving, player, until):
    async with serving() as server:
        caller, idle, viewer = await enter(server), await enter(server), player(server)
        await caller.play(viewer)
        await until(lambda: server.sessions().active == 1)
        (peer,) = server.parts.peers.listed()
        server.parts.events.tell(Event("vision", {"of": "somebody else"}, session="another"))
        server.parts.events.tell(Event("session.active", {"of": "no detection"}, session=peer.id))
        server.parts.events.tell(Event("speech", {"of": "this call"}, session=peer.id))
        server.parts.events.tell(Event("vision", {"of": "the source"}))
        for subtype, of in (("icey:speech", "this call"), ("icey:vision", "the source")):
            told = await caller.hear("icey:vision", "icey:speech")
            assert told == {
                "type": "message",
                "from": SERVER,
                "to": caller.address,
                "subtype": subtype,
                "data": {"of": of},
            }
        await idle.call("call:init")
        assert (await idle.hear("call:accept", "icey:vision", "icey:speech"))["subtype"] == "call:accept"


async def test_motion_in_the_source_is_told_to_a_viewer(serving, player):
    async with serving(vision_enabled=True, motion_threshold=0.0001) as server:
        caller = await enter(server)
        await caller.play(player(server))
        told = await caller.hear("icey:vision")
        assert (told["data"]["schema"], told["data"]["frame"]["streamId"]) == ("vision.event.v1", "stream/live")
