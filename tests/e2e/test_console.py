"""The operator's console in a real Chromium, before the real processes."""

import json
import os
import re
import shutil
from contextlib import asynccontextmanager

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import async_playwright, expect

from tests.e2e.system import BACKENDS, START_SECONDS, request, wait_for

SEEN_MS = 2000  # a killed process shows within one second, and on a page within one more
BACK_MS = 3000  # it is back within two, and on a page within one more
PATIENCE_MS = 20_000
PHONE = {"width": 390, "height": 844}


@asynccontextmanager
async def browsing(system, path="/", enter=None, **options):
    """Open a page; whatever it complains of, and whatever it loads from elsewhere, fails the test."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None and not os.environ.get("CI"):
        pytest.skip("Chromium is not installed")
    complaints = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        context = await browser.new_context(**options)
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on(
            "request",
            lambda one: complaints.append(one.url) if not one.url.startswith(system.url("operator")) else None,
        )
        await page.goto(system.url("operator", path))
        if enter:
            await enter(page)
        await expect(page.locator(".tile")).to_have_count(len(BACKENDS), timeout=PATIENCE_MS)
        page.complaints = complaints
        yield page
        await browser.close()
    assert complaints == []


def tile(page, name):
    return page.locator(f".tile[data-backend={name}]")


def panel(page, name):
    return page.locator(f"#{name}")


@pytest.fixture
def mended(system):
    yield system
    system.mend()


async def test_a_person_sees_at_once_that_everything_serves(system):
    async with browsing(system) as page:
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Everything serves")
        await expect(page).to_have_title(re.compile("^Everything serves"))
        for name in BACKENDS:
            await expect(tile(page, name).locator(".state")).to_have_text("Serving")
            await expect(panel(page, name).locator(".service")).to_have_text(re.compile(f"^{name}.v1."))
        await expect(panel(page, "converter").locator(".health tbody th code")).to_have_text(
            ['""', "converter.ice", "converter.v1.ConverterService", "liveness", "readiness"]
        )


async def test_a_killed_backend_turns_on_the_open_page_and_turns_back(mended):
    async with browsing(mended) as page:
        outages = tile(page, "converter").locator("svg.strip .unreachable")
        before = await outages.count()
        mended.kill("converter")
        await expect(tile(page, "converter").locator(".state")).to_have_text("Unreachable", timeout=SEEN_MS)
        await expect(page.get_by_role("heading", level=1)).to_have_text("converter is unreachable")
        await expect(page.get_by_role("status")).to_have_text("converter is unreachable")
        await expect(page).to_have_title("✕ converter is unreachable · Pulsegate")
        await expect(page.locator("#icon")).to_have_attribute("href", "icon-alert.svg")
        await expect(tile(page, "converter").locator(".reason")).to_contain_text("unavailable")
        await expect(tile(page, "converter").locator(".since")).to_contain_text(re.compile(r"for \d+ s, since "))
        await expect(outages).to_have_count(before + 1)
        await expect(panel(page, "converter").locator(".answer pre").first).to_contain_text('"connected": false')
        await expect(panel(page, "converter").locator(".health .word").first).to_contain_text("Unknown")
        await expect(tile(page, "media").locator(".state")).to_have_text("Serving")
        mended.start_and_wait("converter")
        await expect(tile(page, "converter").locator(".state")).to_have_text("Serving", timeout=BACK_MS)
        label = re.compile(r"^Last 15 minutes: \d+ outages?, ")
        await expect(tile(page, "converter").locator("svg.strip")).to_have_attribute("aria-label", label)


async def test_the_answers_shown_are_those_a_client_gets(system):
    async with browsing(system) as page:
        for name, path in [("converter", "/api/status"), ("media", "/api/ready"), ("llmproxy", "/health")]:
            answer = panel(page, name).locator(".answer").filter(has_text=re.compile(rf"GET {path}\d"))
            status, body = request(system.url(name, path))
            await expect(answer.locator(".code")).to_have_text(str(status))
            shown = json.loads(await answer.locator("pre").text_content())
            passing = {"timestamp": 0, "uptime": 0, "uptimeSec": 0, "performance": 0}
            assert shown | passing == body | passing


async def test_a_gateway_that_is_gone_is_said_to_be_and_found_again(mended):
    async with browsing(mended) as page:
        await expect(page.locator("#link")).to_have_text("live")
        mended.kill("gateway")
        await expect(page.locator("#link")).to_contain_text("no word from the gateway", timeout=SEEN_MS)
        await expect(page.locator("#main")).to_have_attribute("data-stale", "")
        mended.start_and_wait("gateway")
        await expect(page.locator("#link")).to_have_text("live", timeout=PATIENCE_MS)
        await expect(page.locator("#main")).not_to_have_attribute("data-stale", "")
        page.complaints.clear()  # a browser logs every connection it was refused


async def test_the_gateway_stops_at_once_though_a_page_is_open(mended):
    async with browsing(mended) as page:
        await expect(page.locator("#link")).to_have_text("live")
        mended.processes["gateway"].terminate()
        assert mended.processes["gateway"].wait(timeout=5) == 0
        await expect(page.locator("#link")).to_contain_text("no word from the gateway")
        page.complaints.clear()


async def test_a_phone_shows_it_without_scrolling_sideways(system):
    async with browsing(system, viewport=PHONE) as page:
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        await expect(panel(page, "converter")).not_to_have_attribute("open", "")
        await tile(page, "converter").click()
        await expect(panel(page, "converter")).to_have_attribute("open", "")
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


async def test_the_keyboard_is_enough_and_what_it_opened_stays_open(system):
    async with browsing(system) as page:
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the backends")).to_be_focused()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await expect(panel(page, "converter").locator("> summary")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(panel(page, "converter")).not_to_have_attribute("open", "")
        before = await tile(page, "converter").locator(".since").text_content()
        await expect(tile(page, "converter").locator(".since")).not_to_have_text(before)
        await expect(panel(page, "converter").locator("> summary")).to_be_focused()
        await expect(panel(page, "converter")).not_to_have_attribute("open", "")


async def test_a_command_is_copied_by_its_button(system):
    async with browsing(system, permissions=["clipboard-read", "clipboard-write"]) as page:
        button = panel(page, "converter").get_by_role("button").first
        await button.click()
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert copied == f"curl -i {system.url('converter', '/api/status')}"
        await expect(page.get_by_role("status")).to_have_text("Copied")


async def test_the_theme_follows_the_system_until_the_switch_says_otherwise_for_good(system):
    background = "getComputedStyle(document.body).backgroundColor"
    async with browsing(system, color_scheme="dark") as page:
        dark = await page.evaluate(background)
        await page.emulate_media(color_scheme="light")
        light = await page.evaluate(background)
        assert dark != light
        await page.emulate_media(color_scheme="dark")
        await page.locator("#theme").click()
        await expect(page.locator("#theme")).to_have_text("Theme: light")
        assert await page.evaluate(background) == light
        await page.reload()
        assert await page.evaluate(background) == light


async def test_nothing_keeps_a_screen_reader_or_a_weak_eye_out(mended):
    mended.kill("converter")
    async with browsing(mended) as page:
        await expect(tile(page, "converter").locator(".state")).to_have_text("Unreachable")
        await page.locator("details:not([open])").evaluate_all("all => all.forEach((one) => (one.open = true))")
        for width, scheme in ((PHONE["width"], "light"), (1280, "dark")):
            await page.set_viewport_size({"width": width, "height": 900})
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found = (await Axe().run(page)).response["violations"]
            assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


async def test_a_console_with_a_token_asks_for_it_once(own_system):
    own_system.start("gateway", PULSEGATE_GATEWAY_OPERATOR_TOKEN="the token")
    wait_for(lambda: own_system.started("gateway"), START_SECONDS, "the gateway to listen")

    async def enter(page):
        field = page.get_by_label("token")
        await field.fill("a guess")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_have_text("That is not the token.")
        await field.fill("the token")
        await page.keyboard.press("Enter")

    async with browsing(own_system, enter=enter) as page:
        await expect(page.locator("#link")).to_have_text("live")
        await expect(page.locator("#asking")).not_to_be_visible()
        await page.reload()
        await expect(page.locator("#link")).to_have_text("live")
        await expect(page.locator("#asking")).not_to_be_visible()
        assert all("401" in complaint for complaint in page.complaints)
        page.complaints.clear()
