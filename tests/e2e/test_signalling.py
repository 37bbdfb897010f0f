"""Symple v4 as the real processes speak it, by scripted clients and by a player made of aiortc."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
import websockets
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from tests.e2e.system import START_SECONDS, wait_for


class Client:
    def __init__(self, socket):
        self.socket = socket

    async def say(self, **fields):
        await self.socket.send(json.dumps(fields))

    async def hear(self, seconds=10):
        async with asyncio.timeout(seconds):
            return json.loads(await self.socket.recv())

    async def hear_of(self, **wanted):
        """The next message with these fields; others are left out."""
        while True:
            message = await self.hear()
            if all(message.get(name) == value for name, value in wanted.items()):
                return message

    async def enter(self, user, **fields):
        await self.say(type="auth", user=user, **fields)
        welcome = await self.hear()
        self.address = f"{user}|{welcome['peer']['id']}"
        return welcome

    async def call(self, subtype, data=None, to="icey|server"):
        await self.say(type="message", id="1", to=to, subtype=subtype, data=data or {})

    async def end(self):
        """What is heard until the socket is closed, and the code it is closed with."""
        heard = []
        async with asyncio.timeout(10):
            try:
                while True:
                    heard.append(json.loads(await self.socket.recv()))
            except websockets.ConnectionClosed as closed:
                return heard, closed.rcvd.code


@asynccontextmanager
async def connected(system, path="/", **how):
    url = system.url("media", path).replace("http", "ws", 1)
    async with websockets.connect(url, compression=None, proxy=None, **how) as socket:
        yield Client(socket)


def sessions(system):
    return system.get("media", "/api/status")[1]["sessions"]


@pytest.mark.parametrize("path", ["/", "/ws", "/any/path?with=query"])
async def test_a_client_is_welcomed_at_any_path_and_finds_the_server(system, path):
    async with connected(system, path) as client:
        welcome = await client.enter("viewer")
        assert (welcome["status"], welcome["protocol"]) == (200, "symple/4")
        presence = await client.hear_of(type="presence")
        assert presence["from"] == "icey|server"
        assert presence["data"] == {
            "id": "server",
            "user": "icey",
            "name": "Icey Server",
            "type": "server",
            "online": True,
            "mode": "stream",
            "capabilities": ["view"],
        }


async def test_two_clients_hear_each_other_and_of_the_end(system):
    async with connected(system) as first, connected(system, "/ws") as second:
        await first.enter("one")
        await second.enter("two")
        await first.hear_of(type="presence", **{"from": second.address})
        await second.say(type="message", to=first.address, data={"x": 1}, **{"from": "icey|server"})
        assert (await first.hear_of(type="message"))["from"] == second.address
        await second.socket.close()
        gone = await first.hear_of(type="presence", **{"from": second.address})
        assert gone["data"]["online"] is False


async def player(client):
    """Call the server as a browser does: the offer at once, before candidates; returns connection and first frame."""
    await client.call("call:init")
    accept = await client.hear_of(subtype="call:accept")
    assert (accept["from"], accept["to"]) == ("icey|server", client.address)
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tracks = [connection.addTransceiver(kind, direction="recvonly").receiver.track for kind in ("audio", "video")]
    del tracks
    await connection.setLocalDescription(await connection.createOffer())
    lines = connection.localDescription.sdp.splitlines()
    candidates = [line for line in lines if line.startswith("a=candidate")]
    offer = "\r\n".join(one for one in lines if one not in {*candidates, "a=end-of-candidates"}) + "\r\n"
    for line in candidates:
        await client.call("call:candidate", {"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0})
    await client.call("call:offer", {"type": "offer", "sdp": offer})
    answer = await client.hear_of(subtype="call:answer")
    await connection.setRemoteDescription(RTCSessionDescription(answer["data"]["sdp"], "answer"))
    return connection


async def test_a_call_plays_the_stream_is_counted_and_ends_with_the_socket(system):
    before = await asyncio.to_thread(sessions, system)
    async with asyncio.timeout(30), connected(system) as client:
        await client.enter("viewer")
        connection = await player(client)
        try:
            video = next(one.receiver.track for one in connection.getTransceivers() if one.kind == "video")
            for _ in range(5):
                await video.recv()
            during = await asyncio.to_thread(sessions, system)
            assert during["active"] == before["active"] + 1
            await client.call("call:init")
            assert (await client.hear_of(subtype="call:reject"))["data"] == {"reason": "busy"}
            await client.socket.close()
            await asyncio.to_thread(
                wait_for, lambda: sessions(system)["active"] == before["active"], 5, "the call to end with the socket"
            )
        finally:
            await connection.close()


async def test_a_lost_backend_closes_sockets_honestly_and_whoever_comes_back_is_served_once_it_is_back(system):
    async with connected(system) as client:
        await client.enter("viewer")
        await asyncio.to_thread(system.kill, "media")
        heard, code = await client.end()
        unavailable = {"type": "error", "status": 503, "message": "Service unavailable"}
        assert heard[-1] == unavailable
        assert code == 1013
    system.start("media")
    async with asyncio.timeout(START_SECONDS):
        heard = unavailable
        while heard == unavailable:  # a machine may take longer to start a process than a socket waits
            async with connected(system) as client:
                await client.say(type="auth", user="viewer")
                heard = await client.hear(START_SECONDS)
        assert heard["type"] == "welcome"
    await asyncio.to_thread(wait_for, system.all_serving, START_SECONDS, "everything to serve")
