"""Publishers and viewers that meet in relay mode through the real gateway and the real media process."""

import asyncio
import os
import shutil
from contextlib import asynccontextmanager

import httpx
import pytest
from playwright.async_api import async_playwright

from tests.e2e.system import START_SECONDS, running_system, wait_for

FLAGS = [
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream=fps=30",
    "--autoplay-policy=no-user-gesture-required",
]
PATIENCE_MS = 30_000

PUBLISH = r"""async (url) => {
  const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  const media = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 360 }, audio: true });
  for (const track of media.getTracks()) peer.addTransceiver(track, { direction: "sendonly", streams: [media] });
  const candidates = [];
  peer.onicecandidate = ({ candidate }) => candidate && candidates.push(candidate);
  await peer.setLocalDescription();
  const offer = peer.localDescription.sdp.replace(/a=candidate:.*\r\n/g, "");
  const answer = await fetch(url, { method: "POST", headers: { "Content-Type": "application/sdp" }, body: offer });
  if (answer.status !== 201) return { status: answer.status };
  const session = answer.headers.get("Location");
  await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  while (peer.iceGatheringState !== "complete") await new Promise((done) => setTimeout(done, 10));
  const line = (name) => new RegExp(`a=${name}:\\S+`).exec(offer)[0];
  const fragment = [line("ice-ufrag"), line("ice-pwd"), "m=video 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0",
    ...candidates.filter(({ sdpMid }) => sdpMid === "0").map((one) => `a=${one.candidate}`), ""];
  const patch = (lines) => fetch(session, { method: "PATCH", body: lines.join("\r\n"),
    headers: { "Content-Type": "application/trickle-ice-sdpfrag" } });
  const trickled = (await patch(fragment)).status;
  const restarted = (await patch(["a=ice-ufrag:other", "a=ice-pwd:0123456789012345678901", ""])).status;
  window.peer = peer;
  window.session = session;
  return { status: 201, trickled, restarted };
}"""

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


@asynccontextmanager
async def browser():
    """Open a real Chromium with a camera and a microphone that are not there."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None and not os.environ.get("CI"):
        pytest.skip("Chromium is not installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield await browser.new_context()
        await browser.close()


async def opened(context, system):
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    await page.goto(system.url("media", "/api/health"))  # of the same origin, and nothing else runs on it
    return page


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
            lambda one: one["video"].get("framesDecoded", 0) > 60 and one["audio"].get("packetsReceived", 0) > 99,
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
    await asyncio.to_thread(
        wait_for, lambda: status(relaying)["sessions"]["active"] == before["active"], 15, "both to be gone"
    )
    assert status(relaying)["relay"] == {"sourcePeer": "", "viewers": 0, "streams": []}


@pytest.mark.parametrize("path", ["/whip", "/whep"])
def test_an_offer_that_is_none_is_refused(relaying, path):
    answer = httpx.post(relaying.url("media", path), content="hello", headers={"Content-Type": "application/sdp"})
    assert (answer.status_code, answer.json()) == (400, {"status": "error", "error": "bad_request"})
