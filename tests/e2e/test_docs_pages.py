"""The pages that describe the REST APIs, in a real Chromium."""

import os
import shutil

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import async_playwright, expect

from tests.e2e.system import DOCUMENTED_PORTS


async def test_every_description_can_be_read_by_anyone_on_anything(system):
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None and not os.environ.get("CI"):
        pytest.skip("Chromium is not installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 390, "height": 844})
        complaints = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        for name in DOCUMENTED_PORTS:
            await page.goto(system.url(name, "/docs"))
            await page.locator("summary").first.click()
            await expect(page.get_by_role("heading", level=2).first).to_be_visible()
            await page.locator("details:not([open])").evaluate_all("all => all.forEach((one) => (one.open = true))")
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390
            found = (await Axe().run(page)).response["violations"]
            assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
        await browser.close()
    assert [one for one in complaints if "favicon" not in one] == []
