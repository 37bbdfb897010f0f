"""A WHIP server as aiortc's examples show it, which decodes what it receives: ``receiver.py PORT``."""

import sys

from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaBlackhole

peers = set()


async def publish(request: web.Request) -> web.Response:
    """Answer an offer and throw away what comes, decoded."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peers.add(peer)
    sink = MediaBlackhole()
    peer.on("track", sink.addTrack)
    await peer.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
    await sink.start()
    await peer.setLocalDescription(await peer.createAnswer())
    headers = {"Location": "/session"}
    return web.Response(status=201, text=peer.localDescription.sdp, content_type="application/sdp", headers=headers)


async def status(_request: web.Request) -> web.Response:
    """Say that the server listens."""
    return web.Response()


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/whip", publish)
    app.router.add_get("/api/status", status)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
