"""A server as aiortc's examples show it, with an encoder for each viewer: ``sender.py PORT FILE``."""

import sys

from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer, MediaRelay

peers = set()
relay = MediaRelay()


async def view(request: web.Request) -> web.Response:
    """Answer an offer and send the file, decoded once and encoded for this viewer."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peers.add(peer)
    player = request.app["player"]
    transceiver = peer.addTransceiver(relay.subscribe(player.video), direction="sendonly")
    codecs = RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences([codec for codec in codecs if codec.mimeType in {"video/H264", "video/rtx"}])
    await peer.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
    await peer.setLocalDescription(await peer.createAnswer())
    return web.Response(status=201, text=peer.localDescription.sdp, content_type="application/sdp")


async def status(_request: web.Request) -> web.Response:
    """Say that the server listens."""
    return web.Response()


async def start(app: web.Application) -> None:
    """Open the file once for all."""
    app["player"] = MediaPlayer(sys.argv[2], loop=True)


if __name__ == "__main__":
    app = web.Application()
    app.on_startup.append(start)
    app.router.add_post("/whep", view)
    app.router.add_get("/api/status", status)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
