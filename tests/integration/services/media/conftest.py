"""The media process's own parts behind real gRPC, and players made of aiortc."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from gen.media.v1 import media_pb2, media_pb2_grpc
from services.media import compat
from services.media.__main__ import assemble
from services.media.config_file import ConfigFile
from services.media.settings import MediaSettings


class Server:
    """A running media process without the process."""

    def __init__(self, parts, stub):
        self.parts = parts
        self.stub = stub

    async def status(self):
        return (await self.stub.GetStatus(media_pb2.GetStatusRequest(), timeout=5)).status

    def sessions(self):
        return self.parts.peers.counts()


@asynccontextmanager
async def _serving(**settings):
    defaults = {"candidate_addresses": ("127.0.0.1",), "turn": "false", "video_width": 320, "video_height": 180}
    async with AsyncExitStack() as stack:
        parts = await assemble(MediaSettings(**defaults | settings), stack, ConfigFile())
        await parts.health.start()
        stack.push_async_callback(parts.health.close)
        server = grpc.aio.server()
        parts.register(server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stack.push_async_callback(server.stop, None)
        stack.callback(parts.feed.close)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        yield Server(parts, media_pb2_grpc.MediaServiceStub(channel))


@pytest.fixture
def serving():
    """Run the media parts with settings of the test's own."""
    return _serving


class Player:
    """A viewer that counts what it can decode."""

    def __init__(self, server, kinds=("video", "audio")):
        self._server = server
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self.frames = {"video": [], "audio": []}
        self.session_id = None
        self.answer = ""
        self._readers = []
        self._closing = False
        for kind in kinds:
            self._guard(self.connection.addTransceiver(kind, direction="recvonly"))
        self.connection.on("track", lambda track: self._readers.append(asyncio.create_task(self._read(track))))

    async def offer(self):
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def ask(self, stream=""):
        request = media_pb2.ViewRequest(stream=stream, offer_sdp=await self.offer())
        response = await self._server.stub.View(request, timeout=10)
        self.session_id, self.answer = response.session_id, response.answer_sdp

    async def play(self):
        await self.ask()
        await self.connection.setRemoteDescription(RTCSessionDescription(self.answer, "answer"))

    async def close(self):
        self._closing = True
        await self.connection.close()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    def _guard(self, transceiver):
        """Keep aiortc from going on for good when a player is closed while it connects."""
        receiver = transceiver.receiver
        compat.guard_connecting(transceiver, lambda: self._closing)
        receive = receiver.receive

        async def unless_closing(parameters):
            if not self._closing:
                await receive(parameters)

        receiver.receive = unless_closing

    async def _read(self, track):
        try:
            while True:
                self.frames[track.kind].append(await track.recv())
        except MediaStreamError:
            pass


@pytest.fixture
async def player():
    """Make players; those left are closed."""
    players = []

    def make(server, **how):
        players.append(Player(server, **how))
        return players[-1]

    yield make
    await asyncio.gather(*(one.close() for one in players))
