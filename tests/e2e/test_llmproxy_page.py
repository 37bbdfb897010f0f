"""The page of the LLM proxy in a real Chromium, before the real processes and their embedded model."""

import os
import re
import shutil
from contextlib import asynccontextmanager

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import async_playwright, expect

from services.llmproxy.embedded import bundled_model, unavailable
from tests.e2e.system import START_SECONDS, request, wait_for

PATIENCE_MS = 30_000
ANSWER_MS = 90_000  # the embedded model is loaded first, on a busy machine
SEEN_MS = 4000
PHONE = {"width": 390, "height": 844}
KEY = "a-client-key"
needs_model = pytest.mark.skipif(bool(unavailable(bundled_model())), reason=unavailable(bundled_model()))


@asynccontextmanager
async def browsing(system, path="/ui", **options):
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
            lambda one: complaints.append(one.url) if not one.url.startswith(system.url("llmproxy")) else None,
        )
        await page.goto(system.url("llmproxy", path))
        await expect(page.locator("#link")).to_have_text("live", timeout=PATIENCE_MS)
        page.complaints = complaints
        yield page
        await browser.close()
    assert complaints == []


@needs_model
async def test_a_question_is_answered_while_one_looks_and_is_in_the_numbers_at_once(system):
    async with browsing(system) as page:
        local = page.locator(".provider[data-provider=local]")
        await expect(local.locator(".how")).to_have_text(re.compile("healthy|getting ready"), timeout=PATIENCE_MS)
        await page.get_by_label("Prompt").fill("Say hello to everybody.")
        await page.keyboard.press("Control+Enter")
        await expect(page.locator("#answer")).to_have_text(re.compile(r"\S"), timeout=ANSWER_MS)
        await expect(page.locator("#told")).to_contain_text("tokens in", timeout=ANSWER_MS)
        await expect(page.locator("#told")).to_contain_text("local, smollm2-135m-instruct", timeout=PATIENCE_MS)
        await expect(local.locator(".how")).to_have_text("healthy", timeout=PATIENCE_MS)
        chart = page.get_by_role("img", name=re.compile("^Last hour, by minute: answered at most"))
        await expect(chart.locator(".bar-good").first).to_be_visible(timeout=PATIENCE_MS)
        await page.reload()
        row = page.locator("#usage tbody tr").filter(has_text="local, smollm2-135m-instruct")
        await expect(row).to_have_count(1, timeout=PATIENCE_MS)


async def test_what_a_provider_refuses_is_said_and_the_box_can_be_used_again(system):
    async with browsing(system) as page:
        await page.get_by_label("Model").fill("nobody,none")
        await page.get_by_label("Prompt").fill("Hello")
        await page.get_by_role("button", name="Send").click()
        await expect(page.get_by_role("alert")).to_have_text("No enabled provider is named 'nobody'")
        await expect(page.get_by_role("button", name="Send")).to_be_enabled()
        await expect(page.get_by_role("button", name="Stop")).not_to_be_visible()
        page.complaints.clear()  # a browser logs every answer that is an error


async def test_it_is_read_on_a_phone_in_the_dark_and_by_machines(system):
    async with browsing(system) as page:
        for width, scheme in ((PHONE["width"], "light"), (1280, "dark")):
            await page.set_viewport_size({"width": width, "height": 900})
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert await page.evaluate("() => document.documentElement.scrollWidth") <= width
            found = (await Axe().run(page)).response["violations"]
            assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
        await page.locator("#theme").click()
        await expect(page.locator("html")).to_have_attribute("data-theme", "light")


async def test_the_keyboard_reaches_the_box_at_once(system):
    async with browsing(system) as page:
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the try-it box")).to_be_focused()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await expect(page.get_by_label("Model")).to_be_focused()


async def test_the_same_page_lives_behind_the_operators_prefix(system):
    status, _ = request(system.url("operator", "/llmproxy/status"))
    assert status == 200
    program = shutil.which("chromium")
    if program is None and not os.environ.get("CI"):
        pytest.skip("Chromium is not installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = await browser.new_page()
        await page.goto(system.url("operator", "/llmproxy/ui/"))
        await expect(page.locator("#link")).to_have_text("live", timeout=PATIENCE_MS)
        assert page.url.endswith("/llmproxy/ui")
        await browser.close()


async def test_with_a_key_the_page_asks_for_it_where_it_is_needed_and_a_lost_backend_shows(own_system):
    own_system.start("gateway", CCPROXY_API_KEY=KEY)
    own_system.start("llmproxy")
    wait_for(lambda: own_system.started("gateway") and own_system.started("llmproxy"), START_SECONDS, "both to listen")
    async with browsing(own_system) as page:
        heading = page.get_by_role("heading", level=1)
        await expect(heading).to_have_text(re.compile("answer"))
        await expect(page.locator("#verdict")).to_contain_text("a key is needed")
        await page.get_by_label("Model").fill("nobody,none")
        await page.get_by_label("Prompt").fill("Hello")
        await page.keyboard.press("Control+Enter")
        await expect(page.get_by_role("alert")).to_have_text("Invalid API key")
        await expect(page.get_by_label("Key", exact=True)).to_be_focused()
        await page.get_by_label("Key", exact=True).fill(KEY)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_have_text("No enabled provider is named 'nobody'")
        own_system.kill("llmproxy")
        await expect(heading).to_have_text("The LLM proxy is unreachable", timeout=SEEN_MS)
        own_system.start_and_wait("llmproxy")
        await expect(heading).to_have_text(re.compile("answer"), timeout=SEEN_MS)
        page.complaints.clear()
