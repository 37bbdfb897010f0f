"""The page of the media server in a real Chromium, in every mode, as icey-server's own browser test asks of a page."""

import asyncio
import re
from contextlib import asynccontextmanager

import av
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from tests.e2e.chromium import PATIENCE_MS, browser
from tests.e2e.system import START_SECONDS, running_system, wait_for

ONLINE_MS, CALL_MS = 15_000, 20_000
PHONE = {"width": 390, "height": 844}
DETECTION = {
    f"PULSEGATE_MEDIA_{name}": value
    for name, value in {
        "VISION_ENABLED": "true",
        "MOTION_THRESHOLD": "0",
        "SPEECH_ENABLED": "true",
        "SNAPSHOTS_ENABLED": "true",
        "CLIPS_ENABLED": "true",
    }.items()
}
PLAYS = """() => {
  const video = document.getElementById("remote-video");
  return video.srcObject && video.videoWidth > 0 && video.currentTime > 0;
}"""
REFUSE = """() => {
  navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("", "NotAllowedError"); };
}"""
CODEC = "() => !['', '—'].includes(document.getElementById('codec-value').textContent)"


@pytest.fixture(scope="module", params=["stream", "record", "relay"])
def serving(request, tmp_path_factory):
    """The gateway and a media process in one mode, which looks at what it is sent."""
    with running_system(tmp_path_factory.mktemp(request.param)) as system:
        system.mode = request.param
        system.start("media", "gateway", PULSEGATE_MEDIA_MODE=system.mode, **DETECTION)
        wait_for(lambda: system.started("media") and system.started("gateway"), START_SECONDS, "both to listen")
        wait_for(lambda: system.get("media", "/api/ready")[0] == 200, START_SECONDS, "media to be ready")
        yield system


@asynccontextmanager
async def visiting(context, system):
    """Open the page; whatever it complains of, and whatever it loads from elsewhere, fails the test."""
    complaints = []
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("request", lambda one: complaints.append(one.url) if not one.url.startswith(system.url("media")) else None)
    await page.goto(system.url("media", "/"))
    await expect(page.locator("#status")).to_have_class(re.compile(r"\bstatus--online\b"), timeout=ONLINE_MS)
    page.complaints = complaints
    yield page
    await page.close()
    assert complaints == []


def server(page):
    return page.locator("#peer-list li").filter(has_text="icey")


async def call(page, action):
    await server(page).get_by_role("button", name=action, exact=True).click(timeout=ONLINE_MS)
    await expect(page.locator("#controls")).not_to_have_class(re.compile("is-hidden"), timeout=CALL_MS)
    await page.wait_for_function(PLAYS, timeout=CALL_MS)
    await page.wait_for_function(CODEC, timeout=CALL_MS)
    assert await page.evaluate("() => window.__mediaServerState.calls.player.pc.connectionState") == "connected"


async def hang_up(page):
    await page.locator("#btn-hangup").click()
    await expect(page.locator("#controls")).to_have_class(re.compile("is-hidden"), timeout=CALL_MS)


async def everybody_can_use(page):
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        found = await Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def active(system):
    return system.get("media", "/api/status")[1]["sessions"]["active"]


async def sessions_are(system, count):
    await asyncio.to_thread(wait_for, lambda: active(system) == count, 20, f"{count} sessions")


async def test_the_page_does_what_its_mode_is_for(serving):
    async with browser() as context:
        await context.grant_permissions(["camera", "microphone"])
        async with visiting(context, serving) as page:
            await {"stream": streams, "record": records, "relay": relays}[serving.mode](context, page, serving)
        await sessions_are(serving, 0)


async def streams(_context, page, system):
    """Watch, see what is detected, lose the server, watch again by itself, and hang up."""
    await expect(server(page).get_by_role("button")).to_have_text(["Watch"])
    await call(page, "Watch")
    await expect(page.locator("#event-list .event-item").filter(has_text="Motion").first).to_be_visible(timeout=CALL_MS)
    await expect(page.locator("#event-list a[href^='artifacts/snapshots/']").first).to_be_visible(timeout=CALL_MS)
    await sessions_are(system, 1)
    await everybody_can_use(page)

    await asyncio.to_thread(system.kill, "media")
    await expect(page.locator("#status")).to_have_class(re.compile("status--connecting"), timeout=PATIENCE_MS)
    await asyncio.to_thread(system.start, "media", **DETECTION)
    await asyncio.to_thread(wait_for, lambda: system.started("media"), START_SECONDS, "media to listen again")
    await expect(page.locator("#status")).to_have_class(re.compile("status--online"), timeout=PATIENCE_MS)
    await sessions_are(system, 1)
    await page.wait_for_function(PLAYS)
    await expect(page.locator("#notice")).to_be_hidden(timeout=CALL_MS)
    page.complaints.clear()  # of the server that was not there, rightly
    await hang_up(page)
    await sessions_are(system, 0)
    await expect(server(page).get_by_role("button", name="Watch")).to_be_focused()


async def records(_context, page, system):
    """Broadcast for a while, hang up, and find a file that plays in the list."""
    await expect(server(page).get_by_role("button")).to_have_text(["Broadcast"])
    await call(page, "Broadcast")
    folder = system.folder / "recordings"
    await asyncio.to_thread(
        wait_for, lambda: any(one.stat().st_size > 50_000 for one in folder.glob("*.part")), 20, "a recording to grow"
    )
    camera = await page.evaluate_handle("() => document.getElementById('remote-video').srcObject.getVideoTracks()[0]")
    await hang_up(page)
    assert await camera.evaluate("(track) => track.readyState") == "ended"
    await asyncio.to_thread(wait_for, lambda: list(folder.glob("*.mp4")), 20, "the recording to be complete")
    (made,) = folder.glob("*.mp4")
    with av.open(str(made)) as container:
        assert {one.type for one in container.streams} == {"video", "audio"}
        assert sum(1 for _ in container.decode(video=0)) > 10
    await expect(page.locator("#recordings li a").filter(has_text=made.name)).to_be_visible(timeout=CALL_MS)
    await everybody_can_use(page)

    await page.evaluate(REFUSE)
    await server(page).get_by_role("button", name="Broadcast").click()
    await expect(page.locator("#notice")).to_contain_text("The camera was not allowed.")
    await expect(server(page).get_by_role("button", name="Broadcast")).to_be_enabled()
    await expect(page.locator("#controls")).to_be_hidden()


async def relays(context, page, system):
    """A visitor that waits sees what another broadcasts, on a phone, and both by keyboard alone."""
    await expect(server(page).get_by_role("button")).to_have_text(["Watch", "Broadcast"])
    async with visiting(context, system) as viewer:
        await viewer.set_viewport_size(PHONE)
        await server(viewer).get_by_role("button", name="Watch").focus()
        await viewer.keyboard.press("Enter")
        await expect(viewer.locator("#btn-hangup")).to_be_focused(timeout=CALL_MS)
        await expect(viewer.locator("#notice")).to_have_text("Waiting for the first picture…", timeout=CALL_MS)
        await call(page, "Broadcast")
        await viewer.wait_for_function(PLAYS)
        await expect(viewer.locator("#notice")).to_be_hidden(timeout=CALL_MS)
        wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await viewer.evaluate(wide) == 0
        await hang_up(page)
        await sessions_are(system, 1)
        await viewer.keyboard.press("Enter")
        await sessions_are(system, 0)
