"""A real Chromium with a camera and a microphone that are not there, and what it is made to do."""

import os
import shutil
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import async_playwright

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
