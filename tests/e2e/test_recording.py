"""What Chromium publishes, recorded by the real processes, killed and ended, and played by Chromium again."""

import asyncio

import av
import pytest
from playwright.async_api import expect

from tests.e2e.chromium import PATIENCE_MS, PUBLISH, browser, opened
from tests.e2e.system import START_SECONDS, wait_for

PLAY = """async (url) => {
  const video = document.createElement("video");
  video.muted = true;
  video.src = url;
  document.body.append(video);
  const happens = (name) => new Promise((done, fail) => {
    video.addEventListener(name, done, { once: true });
    video.onerror = () => fail(new Error(video.error.message));
  });
  await happens("loadedmetadata");
  const seconds = video.duration;
  const seeked = happens("seeked");
  video.currentTime = seconds / 2;
  await seeked;
  const ended = happens("ended");
  video.playbackRate = 4;
  await video.play();
  await ended;
  return { seconds, width: video.videoWidth, frames: video.getVideoPlaybackQuality().totalVideoFrames };
}"""


@pytest.fixture
def recording(own_system):
    """The gateway and a media process in record mode."""
    own_system.start("media", PULSEGATE_MEDIA_MODE="record")
    own_system.start("gateway")
    wait_for(lambda: own_system.started("media") and own_system.started("gateway"), START_SECONDS, "both to listen")
    wait_for(lambda: ready(own_system), START_SECONDS, "media to be ready")
    return own_system


def ready(system):
    status, body = system.get("media", "/api/ready")
    return status == 200 and body["mode"] == "record"


def counts(system):
    return system.get("media", "/api/status")[1]["recordings"]


def files(system):
    return system.get("media", "/api/artifacts")[1]["artifacts"]


def pictures(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0)), [one.codec_context.name for one in container.streams]


async def until(condition, seconds, what):
    await asyncio.to_thread(wait_for, condition, seconds, what)


async def see_it_on_the_page(context, system):
    page = await context.new_page()
    await page.goto(system.url("media", "/"))
    files = page.locator("#recordings li")
    await expect(files).to_have_count(2, timeout=PATIENCE_MS)
    await expect(page.locator("#peer-list button")).to_have_text(["Broadcast"])
    await expect(page.locator("#recording")).to_be_hidden()
    await files.filter(has_text="again-").get_by_role("link").click()
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while await page.locator("#player").evaluate("(video) => video.currentTime") < 0.2:
            await asyncio.sleep(0.1)
    await page.close()


async def test_a_browsers_camera_is_recorded_through_a_kill_and_to_a_proper_end(recording):
    folder = recording.folder / "recordings"
    async with browser() as context:
        page = await opened(context, recording)
        assert (await page.evaluate(PUBLISH, "/whip/camera"))["status"] == 201
        await until(lambda: counts(recording)["active"] == 1, 10, "the recording to begin")
        await until(lambda: files(recording)[0]["sizeBytes"] > 100_000, 20, "it to grow")
        growing = files(recording)[0]
        assert growing["name"].startswith("camera-")
        assert (growing["name"].endswith(".mp4.part"), growing["active"]) == (True, True)
        await asyncio.to_thread(recording.kill, "media")
        (part,) = folder.iterdir()
        found, codecs = await asyncio.to_thread(pictures, part)
        assert found > 10
        assert codecs == ["h264", "opus"]

        await asyncio.to_thread(recording.start, "media", PULSEGATE_MEDIA_MODE="record")
        whole = part.with_name(part.name.removesuffix(".part"))
        await until(whole.exists, START_SECONDS, "what the kill left to be completed")
        assert (await asyncio.to_thread(pictures, whole))[0] == found
        await until(lambda: ready(recording), START_SECONDS, "media to be ready again")

        page = await opened(context, recording)
        assert (await page.evaluate(PUBLISH, "/whip/again"))["status"] == 201
        await until(lambda: files(recording)[0]["name"].startswith("again-"), 10, "the second recording")
        await until(lambda: files(recording)[0]["sizeBytes"] > 100_000, 20, "it to grow")
        ended = await page.evaluate("async () => (await fetch(window.session, { method: 'DELETE' })).status")
        assert ended == 200
        await until(lambda: counts(recording) == {"active": 0, "written": 1}, 5, "the recording to be complete")
        played = await page.evaluate(PLAY, files(recording)[0]["url"])
        assert played["width"] == 640
        assert played["seconds"] > 1
        assert played["frames"] > 10
        await see_it_on_the_page(context, recording)

        assert (await page.evaluate(PUBLISH, "/whip/last"))["status"] == 201
        await until(lambda: counts(recording)["active"] == 1, 10, "the third recording")
        assert await asyncio.to_thread(recording.terminate, "media") == 0
    last = next(folder.glob("last-*"))
    assert last.suffix == ".mp4"
    assert (await asyncio.to_thread(pictures, last))[0] > 0
    assert recording.get("media", "/api/artifacts") == (503, {"status": "error", "error": "unavailable"})
