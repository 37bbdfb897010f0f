"""A WHEP viewer, written with aiortc, of the built-in test pattern as the real processes send it."""

import asyncio
from contextlib import asynccontextmanager
from itertools import pairwise

import httpx
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from tests.e2e.system import wait_for

FRAMES = 90
CLOCK_RATE = 90_000


@asynccontextmanager
async def viewing(system, path="/whep"):
    """Call, and yield the video track with the URL of the session."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        receivers = [peer.addTransceiver(kind, direction="recvonly").receiver for kind in ("video", "audio")]
        await peer.setLocalDescription(await peer.createOffer())
        async with httpx.AsyncClient(timeout=20) as http:
            answer = await http.post(
                system.url("media", path),
                content=peer.localDescription.sdp,
                headers={"Content-Type": "application/sdp"},
            )
            assert answer.status_code == 201
            assert answer.headers["Content-Type"] == "application/sdp"
            session = answer.headers["Location"]
            await peer.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
            yield *(receiver.track for receiver in receivers), session
            ended = await http.delete(system.url("media", session))
            assert ended.status_code == 200
    finally:
        await peer.close()


def sessions(system):
    status, body = system.get("media", "/api/status")
    assert status == 200
    return body["sessions"]


async def test_a_viewer_sees_and_hears_the_test_pattern_and_is_counted(system):
    before = sessions(system)
    async with asyncio.timeout(60), viewing(system) as (video, audio, _session):
        frames = [await video.recv() for _ in range(FRAMES)]
        sound = [await audio.recv() for _ in range(10)]
        during = await asyncio.to_thread(sessions, system)
    seconds = (frames[-1].pts - frames[0].pts) / CLOCK_RATE
    assert (FRAMES - 1) / seconds == pytest.approx(30, rel=0.05)
    pictures = [frame.to_ndarray(format="gray").astype(int) for frame in frames[::30]]
    assert all(np.abs(one - other).mean() > 0.1 for one, other in pairwise(pictures))
    assert max(np.abs(frame.to_ndarray()).max() for frame in sound) > 100
    assert during["active"] == before["active"] + 1
    assert during["total"] == before["total"] + 1
    await asyncio.to_thread(
        wait_for, lambda: sessions(system)["active"] == before["active"], 5, "the viewer to be gone"
    )
    assert sessions(system)["total"] == before["total"] + 1


async def test_a_session_can_be_ended_once(system):
    async with asyncio.timeout(60), viewing(system) as (video, _audio, session):
        await video.recv()
    again = await asyncio.to_thread(httpx.delete, system.url("media", session))
    assert again.status_code == 404


@pytest.mark.parametrize(
    ("body", "media_type", "status"), [("hello", "application/sdp", 400), ("v=0", "text/plain", 415)]
)
def test_an_offer_that_is_none_is_refused(system, body, media_type, status):
    answer = httpx.post(system.url("media", "/whep"), content=body, headers={"Content-Type": media_type})
    assert (answer.status_code, answer.json()["status"]) == (status, "error")
