"""Many viewers that read nothing once they are served: ``viewers.py TARGET COUNT``, an address of gRPC or a URL.

What is measured is what sending costs. A viewer that reads would cost more than that and share the same machine; the
kernel drops what they leave, as it would for any program that has stopped reading.
"""

import asyncio
import signal
import sys

import grpc
import httpx
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from gen.media.v1 import media_pb2, media_pb2_grpc
from services.media import compat


class Viewer:
    """One peer connection, and when its first packet came."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self.served = asyncio.Event()
        self._transceiver = self.connection.addTransceiver("video", direction="recvonly")
        compat.replace_receiving(self._transceiver.receiver, self._start, self._stop)

    async def ask(self, target: str) -> None:
        """Offer, take the answer, wait to be served, and leave to the kernel whatever comes then."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        answer = await _answer(target, self.connection.localDescription.sdp)
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        async with asyncio.timeout(120):
            await self.served.wait()
        self._stop_reading()

    def _stop_reading(self) -> None:
        path = compat.path(self._transceiver.receiver.transport)
        socket = path.transport.get_extra_info("socket")
        asyncio.get_running_loop()._remove_reader(socket.fileno())

    async def _start(self, parameters: object) -> None:
        tap = compat.Tap(lambda _packet: self.served.set(), lambda _packet: None)
        compat.receive(self._transceiver.receiver.transport, tap, parameters)

    async def _stop(self) -> None:
        return


async def _answer(target: str, offer: str) -> str:
    if target.startswith("http"):
        async with httpx.AsyncClient(timeout=60) as http:
            headers = {"Content-Type": "application/sdp"}
            return (await http.post(target, content=offer, headers=headers)).text
    async with grpc.aio.insecure_channel(target) as channel:
        stub = media_pb2_grpc.MediaServiceStub(channel)
        return (await stub.View(media_pb2.ViewRequest(offer_sdp=offer), timeout=60)).answer_sdp


async def view(target: str, count: int) -> None:
    """View until terminated, and say goodbye then."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    viewers = [Viewer() for _ in range(count)]
    for viewer in viewers:
        await viewer.ask(target)
    print("viewing", flush=True)
    await ended.wait()
    await asyncio.gather(*(viewer.connection.close() for viewer in viewers))


if __name__ == "__main__":
    asyncio.run(view(sys.argv[1], int(sys.argv[2])))
