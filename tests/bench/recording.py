"""Record one publisher with the media process and with aiortc's own recorder, side by side: CPU of each.

``python -m tests.bench.recording``. Both get the same encoded pictures and sound at the same time, in real time.
"""

import asyncio
import itertools
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import grpc
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRecorder
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack

from gen.media.v1 import media_pb2, media_pb2_grpc
from tests.bench.processes import cpu_seconds
from tests.e2e.system import ROOT, running_system, wait_for

SECONDS = 15.0
BITS_PER_SECOND = 2_000_000


class Film(MediaStreamTrack):
    """A 720p film of thirty pictures a second, encoded before, again and again in real time."""

    kind = "video"

    def __init__(self, packets):
        super().__init__()
        self._packets = itertools.cycle(packets)
        self._count = 0
        self._begun = time.monotonic()

    async def recv(self):
        await asyncio.sleep(max(0.0, self._begun + self._count / 30 - time.monotonic()))
        packet = av.Packet(next(self._packets))
        packet.pts, packet.time_base = self._count * 3000, Fraction(1, 90_000)
        self._count += 1
        return packet


def encoded() -> list[bytes]:
    """Encode ten seconds of FFmpeg's test picture."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 1280, 720, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.gop_size = Fraction(1, 30), Fraction(30), 60
    encoder.bit_rate = BITS_PER_SECOND
    encoder.options = {"preset": "veryfast", "tune": "zerolatency", "profile": "baseline"}
    with av.open("testsrc2=size=1280x720:rate=30,format=yuv420p", format="lavfi") as source:
        pictures = itertools.islice(source.decode(video=0), 300)
        return [bytes(packet) for picture in pictures for packet in encoder.encode(picture.reformat(format="yuv420p"))]


async def measure() -> None:
    """Print what a second of recording costs each."""
    packets = encoded()
    with tempfile.TemporaryDirectory() as name, running_system(Path(name)) as system:
        system.start("media", PULSEGATE_MEDIA_MODE="record", PULSEGATE_MEDIA_CANDIDATE_ADDRESSES='["127.0.0.1"]')
        wait_for(lambda: system.started("media"), 60, "the media process to listen")
        publishers = [_publisher(packets), _publisher(packets)]
        stock = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.recording", str(Path(name) / "stock.mp4")),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        stock.stdin.write((await _offer(publishers[1])).replace("\r\n", "|").encode() + b"\n")
        told = (await stock.stdout.readline()).decode().strip().replace("|", "\r\n")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{system.ports['media']}") as channel:
            stub = media_pb2_grpc.MediaServiceStub(channel)
            answer = await stub.Publish(media_pb2.PublishRequest(offer_sdp=await _offer(publishers[0])), timeout=10)
        pids = system.processes["media"].pid, stock.pid
        before = [cpu_seconds((pid,)) for pid in pids]
        for publisher, sdp in zip(publishers, (answer.answer_sdp, told), strict=True):
            await publisher.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        await asyncio.sleep(SECONDS)
        await asyncio.gather(*(publisher.close() for publisher in publishers))
        await asyncio.sleep(1)
        used = [cpu_seconds((pid,)) - start for pid, start in zip(pids, before, strict=True)]
        stock.stdin.close()
        await stock.wait()
        await asyncio.to_thread(system.terminate, "media")
        costs = []
        for path, seconds in zip((*(Path(name) / "recordings").iterdir(), Path(name) / "stock.mp4"), used, strict=True):
            with av.open(str(path)) as film:
                pictures = film.streams.video[0].frames
            costs.append(1000 * seconds / pictures)
            print(f"{path.name}: {pictures} pictures, {seconds:.2f} s of CPU, {costs[-1]:.2f} ms a picture")
    print(f"the media process costs {costs[0] / costs[1]:.3f} times what MediaRecorder does")


async def record_as_aiortc(path: str) -> None:
    """Answer the offer on standard input, and record until that ends."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    recorder = MediaRecorder(path)
    connection.on("track", recorder.addTrack)
    offer = (await asyncio.to_thread(sys.stdin.readline)).strip().replace("|", "\r\n")
    await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await connection.setLocalDescription(await connection.createAnswer())
    print(connection.localDescription.sdp.replace("\r\n", "|"), flush=True)
    await recorder.start()
    await asyncio.to_thread(sys.stdin.read)
    await recorder.stop()
    await connection.close()


def _publisher(packets: list[bytes]) -> RTCPeerConnection:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    film = connection.addTransceiver(Film(packets), direction="sendonly")
    codecs = film.sender.getCapabilities("video").codecs
    film.setCodecPreferences([codec for codec in codecs if codec.mimeType in ("video/H264", "video/rtx")])
    connection.addTransceiver(AudioStreamTrack(), direction="sendonly")
    return connection


async def _offer(connection: RTCPeerConnection) -> str:
    await connection.setLocalDescription(await connection.createOffer())
    return connection.localDescription.sdp


if __name__ == "__main__":
    asyncio.run(record_as_aiortc(sys.argv[1]) if len(sys.argv) > 1 else measure())
