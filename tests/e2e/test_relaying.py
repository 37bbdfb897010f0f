"""Publishers and viewers that meet in relay mode through the real gateway and the real media process."""

import asyncio
import itertools
import threading
import time
from fractions import Fraction

import av
import httpx
import numpy as np
import pytest

from tests.certificates import write_certificate
from tests.e2e.chromium import PATIENCE_MS, PUBLISH, browser, opened
from tests.e2e.system import START_SECONDS, running_system, wait_for
from tests.e2e.test_viewing import viewing

VIEW = """async (url) => {
  const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  const media = new MediaStream();
  for (const kind of ["video", "audio"]) peer.addTransceiver(kind, { direction: "recvonly" });
  peer.ontrack = ({ track }) => media.addTrack(track);
  await peer.setLocalDescription();
  const answer = await fetch(url, { method: "POST", headers: { "Content-Type": "application/sdp" },
    body: peer.localDescription.sdp });
  if (answer.status !== 201) return { status: answer.status };
  await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  const video = document.createElement("video");
  video.muted = true;
  video.srcObject = media;
  document.body.append(video);
  video.play();
  window.peer = peer;
  return { status: 201 };
}"""

STATS = """async () => {
  const all = [...(await window.peer.getStats()).values()];
  const of = (type, kind) => all.find((one) => one.type === type && one.kind === kind) ?? {};
  return { sent: of("outbound-rtp", "video"), video: of("inbound-rtp", "video"), audio: of("inbound-rtp", "audio") };
}"""


@pytest.fixture(scope="module")
def relaying(tmp_path_factory):
    """The gateway and a media process in relay mode."""
    with running_system(tmp_path_factory.mktemp("relay")) as system:
        system.start("media", "gateway", PULSEGATE_MEDIA_MODE="relay", PULSEGATE_GATEWAY_MEDIA_TOKEN="")
        wait_for(lambda: system.started("media") and system.started("gateway"), START_SECONDS, "both to listen")
        wait_for(lambda: ready(system), START_SECONDS, "media to be ready")
        yield system


def ready(system):
    status, body = system.get("media", "/api/ready")
    return status == 200 and body["mode"] == "relay"


def status(system):
    return system.get("media", "/api/status")[1]


async def stats_until(page, condition):
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while not condition(stats := await page.evaluate(STATS)):
            await asyncio.sleep(0.1)
    return stats


def frames(stats):
    return stats["video"].get("framesDecoded", 0)


async def test_what_chromium_publishes_is_seen_by_chromium(relaying):
    before = status(relaying)["sessions"]
    async with browser() as context:
        viewer, publisher = await opened(context, relaying), await opened(context, relaying)
        assert await viewer.evaluate(VIEW, "/whep/stage") == {"status": 201}
        published = await publisher.evaluate(PUBLISH, "/whip/stage")
        assert published == {"status": 201, "trickled": 204, "restarted": 422}
        seen = await stats_until(
            viewer,
            lambda one: frames(one) > 45 and one["audio"].get("packetsReceived", 0) > 99,
        )
        sent = (await publisher.evaluate(STATS))["sent"]
        assert (seen["video"]["frameWidth"], seen["video"]["frameHeight"]) == (640, 360)
        assert sent["encoderImplementation"]
        assert seen["video"]["packetsLost"] == 0
        now = status(relaying)
        assert now["sessions"]["active"] == before["active"] + 2
        assert now["relay"]["viewers"] == 1
        ended = await publisher.evaluate("async () => (await fetch(window.session, { method: 'DELETE' })).status")
        assert ended == 200
        await asyncio.to_thread(
            wait_for, lambda: status(relaying)["relay"]["streams"][0]["publisher"] == "", 5, "the publisher to be gone"
        )
    nobody = {"sourcePeer": "", "viewers": 0, "streams": []}
    await asyncio.to_thread(wait_for, lambda: status(relaying)["relay"] == nobody, 15, "both to be gone")
    assert status(relaying)["sessions"]["active"] == before["active"]


@pytest.mark.parametrize("path", ["/whip", "/whep"])
def test_an_offer_that_is_none_is_refused(relaying, path):
    answer = httpx.post(relaying.url("media", path), content="hello", headers={"Content-Type": "application/sdp"})
    assert (answer.status_code, answer.json()) == (400, {"status": "error", "error": "bad_request"})


def publish_with_ffmpeg(url, options, stopped):
    """Publish a grey picture in real time, as FFmpeg's own WHIP muxer does, until told to stop."""
    with av.open(url, "w", format="whip", options=options) as container:
        video = container.add_stream("libx264", rate=30)
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        video.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "g": "30"}
        began = time.monotonic()
        for number in itertools.count():
            frame = av.VideoFrame.from_ndarray(np.full((180, 320, 3), 140, dtype=np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            for packet in video.encode(frame):
                container.mux(packet)
            if stopped.wait(max(0.0, began + number / 30 - time.monotonic())):
                return


async def test_what_ffmpeg_publishes_is_seen_by_another_player(relaying, tmp_path):
    stopped = threading.Event()
    url = relaying.url("media", "/whip/ffmpeg")
    publishing = asyncio.create_task(asyncio.to_thread(publish_with_ffmpeg, url, write_certificate(tmp_path), stopped))
    try:
        async with asyncio.timeout(60), viewing(relaying, "/whep/ffmpeg") as (video, _audio, _session):
            frames = [await video.recv() for _ in range(30)]
        assert (frames[-1].width, frames[-1].height) == (320, 180)
        assert abs(int(frames[-1].to_ndarray(format="gray")[90, 160]) - 140) < 5
    finally:
        stopped.set()
        await publishing
    await asyncio.to_thread(
        wait_for, lambda: status(relaying)["relay"]["streams"] == [], 5, "FFmpeg's session to be deleted"
    )
