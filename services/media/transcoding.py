"""A publisher received the public way, decoded by aiortc and encoded again: where its packets are not to be had."""

import asyncio
import time
from collections.abc import Callable
from typing import cast

import av
from aiortc import MediaStreamTrack, RTCDtlsTransport, RTCPeerConnection, RTCRtpTransceiver
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters

from services.media import compat
from services.media.branches import EncodedAudio, EncodedVideo
from services.media.inbound import Inbound
from services.media.sources import Encoding
from services.media.unit import Kind, Unit

_MOST_WAITING = 4


class Transcoding:
    """Receives the tracks of one peer into an ``Inbound``, as ``Publishing`` does, at many times its price."""

    def __init__(
        self,
        make_inbound: Callable[[Callable[[], None]], Inbound],
        begin: Callable[[Inbound], None],
        encoding: Encoding,
    ) -> None:
        self.publishes = True
        self.plain_packets = False
        self._video = EncodedVideo(encoding.width, encoding.height, encoding.fps, encoding.video_bitrate)
        self._audio = EncodedAudio(encoding.audio_bitrate)
        self.inbound = make_inbound(self._video.want_key)
        self._begin = begin
        self._tasks: list[asyncio.Task[None]] = []

    def add(
        self, connection: RTCPeerConnection, kind: Kind, ending: Callable[[], bool], heard: Callable[[], None]
    ) -> RTCRtpTransceiver:
        """Add a track that is received; ``ending`` says when nothing may begin any more."""
        transceiver = connection.addTransceiver(kind, direction="recvonly")
        receiver = transceiver.receiver
        receive = receiver.receive

        async def start(parameters: RTCRtpReceiveParameters) -> None:
            if not ending():
                await receive(parameters)
                self._start(kind, receiver.track, heard)

        compat.replace_receiving(receiver, start, receiver.stop)
        return transceiver

    def polish(self, answer: str) -> str:
        """Leave the answer as it is."""
        return answer

    def refresh(self, transport: RTCDtlsTransport) -> None:
        """Do nothing: aiortc sends by itself to wherever the peer is."""

    async def leave(self) -> None:
        """End the inbound and everything that was started."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.inbound.end()

    def _start(self, kind: Kind, track: MediaStreamTrack, heard: Callable[[], None]) -> None:
        frames: asyncio.Queue[av.frame.Frame] = asyncio.Queue(_MOST_WAITING)
        self._tasks += [
            asyncio.create_task(self._read(track, frames, heard), name="decoded track"),
            asyncio.create_task(self._encode(kind, frames), name="encode track"),
        ]
        if len(self._tasks) == 2:
            self._begin(self.inbound)

    @staticmethod
    async def _read(
        track: MediaStreamTrack, frames: "asyncio.Queue[av.frame.Frame]", heard: Callable[[], None]
    ) -> None:
        """Keep a track read, whatever the encoder does: aiortc queues without bound."""
        try:
            while True:
                frame = cast("av.frame.Frame", await track.recv())
                heard()
                if not frames.full():
                    frames.put_nowait(frame)
        except MediaStreamError:
            return

    async def _encode(self, kind: Kind, frames: "asyncio.Queue[av.frame.Frame]") -> None:
        frame = await frames.get()
        offset = time.monotonic()  # aiortc's clock of a track begins with its first frame
        while True:
            for unit in await asyncio.to_thread(self._units, kind, frame, offset):
                self.inbound.push(unit)
            frame = await frames.get()

    def _units(self, kind: Kind, frame: av.frame.Frame, offset: float) -> list[Unit]:
        if kind == "video":
            return list(self._video.encode(cast("av.VideoFrame", frame), offset))
        return list(self._audio.encode(cast("av.AudioFrame", frame), offset))
