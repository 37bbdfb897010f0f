"""The media process's own parts behind real gRPC, and players made of aiortc."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from fractions import Fraction

import av
import grpc
import numpy as np
import pytest
from aiortc import (
    AudioStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.mediastreams import MediaStreamError
from grpc_health.v1 import health_pb2_grpc

from gen.media.v1 import media_pb2, media_pb2_grpc
from runtime.health import HealthServicer
from runtime.server import SERVER_OPTIONS
from services.media import compat
from services.media.__main__ import assemble
from services.media.config_file import ConfigFile
from services.media.settings import MediaSettings


class Server:
    """A running media process without the process."""

    def __init__(self, parts, stub, address):
        self.parts = parts
        self.address = address
        self.stub = stub

    async def status(self):
        return (await self.stub.GetStatus(media_pb2.GetStatusRequest(), timeout=5)).status

    def sessions(self):
        return self.parts.peers.counts()


@asynccontextmanager
async def _serving(*, port=0, **settings):
    defaults = {"candidate_addresses": ("127.0.0.1",), "turn": "false", "video_width": 320, "video_height": 180}
    defaults["max_load"] = 0.0  # the players share this process's loop
    async with AsyncExitStack() as stack:
        parts = await assemble(MediaSettings(**defaults | settings), stack, ConfigFile())
        await parts.health.start()
        stack.push_async_callback(parts.health.close)
        server = grpc.aio.server(options=SERVER_OPTIONS)
        parts.register(server)
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(parts.health), server)
        port = server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        stack.push_async_callback(server.stop, None)
        stack.callback(parts.feed.close)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        yield Server(parts, media_pb2_grpc.MediaServiceStub(channel), f"127.0.0.1:{port}")


@pytest.fixture
def serving():
    """Run the media parts with settings of the test's own."""
    return _serving


@asynccontextmanager
async def _watching(server, *types):
    """Collect events while something goes on."""
    events = []
    call = server.stub.WatchEvents(media_pb2.WatchEventsRequest(types=types), timeout=60)
    await call.initial_metadata()

    async def collect():
        async for event in call:
            events.append(event)

    collecting = asyncio.create_task(collect())
    yield events
    call.cancel()
    await asyncio.gather(collecting, return_exceptions=True)


@pytest.fixture
def watching():
    """Watch events."""
    return _watching


class Player:
    """A viewer that counts what it can decode."""

    def __init__(self, server, kinds=("video", "audio"), connection=None):
        self._server = server
        self.connection = connection or RTCPeerConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
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

    async def play(self, stream=""):
        await self.ask(stream)
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


class Picture(VideoStreamTrack):
    """A grey picture that moves, as bright as it is told to be."""

    def __init__(self, brightness, size=(320, 180)):
        super().__init__()
        self.brightness = brightness
        self._size = size
        self._count = 0

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        width, height = self._size
        plane = np.full((height, width), self.brightness, dtype=np.uint8)
        self._count += 1
        place = self._count * 4 % (width - 16)
        plane[:16, place : place + 16] = 255
        frame = av.VideoFrame.from_ndarray(np.stack([plane] * 3, axis=-1), format="rgb24")
        frame.pts, frame.time_base = pts, time_base
        return frame


class Sound(AudioStreamTrack):
    """Samples, mono at 48 kHz between -1 and 1, in real time and again from the beginning."""

    def __init__(self, samples):
        super().__init__()
        self._samples = (samples * 32767).astype(np.int16)
        self._next = 0

    async def recv(self):
        await super().recv()  # silence of 20 ms, when its time has come
        start = self._next % (len(self._samples) - 960)
        frame = av.AudioFrame.from_ndarray(self._samples[start : start + 960].reshape(1, -1), "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self._next, Fraction(1, 48_000)
        self._next += 960
        return frame


class Publisher:
    """A publisher of a grey picture and of silence, or of a sound."""

    def __init__(self, server, brightness=100, kinds=("video", "audio"), sound=None):
        self._server = server
        self.picture = Picture(brightness)
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self.session_id = None
        self.answer = ""
        self._closing = False
        for kind in kinds:
            track = self.picture if kind == "video" else AudioStreamTrack() if sound is None else Sound(sound)
            transceiver = self.connection.addTransceiver(track, direction="sendonly")
            compat.guard_connecting(transceiver, lambda: self._closing)
            compat.replace_sending(
                transceiver.sender, self._unless_closing(transceiver.sender.send), transceiver.sender.stop
            )

    async def offer(self):
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def ask(self, stream=""):
        request = media_pb2.PublishRequest(stream=stream, offer_sdp=await self.offer())
        response = await self._server.stub.Publish(request, timeout=10)
        self.session_id, self.answer = response.session_id, response.answer_sdp

    async def publish(self, stream=""):
        await self.ask(stream)
        await self.connection.setRemoteDescription(RTCSessionDescription(self.answer, "answer"))

    async def close(self):
        self._closing = True
        await self.connection.close()

    def _unless_closing(self, send):
        async def start(parameters):
            if not self._closing:
                await send(parameters)

        return start


@pytest.fixture
async def publisher():
    """Make publishers; those left are closed."""
    publishers = []

    def make(server, **how):
        publishers.append(Publisher(server, **how))
        return publishers[-1]

    yield make
    await asyncio.gather(*(one.close() for one in publishers))


@pytest.fixture
async def player():
    """Make players; those left are closed."""
    players = []

    def make(server, **how):
        players.append(Player(server, **how))
        return players[-1]

    yield make
    await asyncio.gather(*(one.close() for one in players))
