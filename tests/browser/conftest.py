"""A real Chromium, looking at a real server."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.serving import Running, running, settings_for
from understudy.web import dist_folder

FLAGS = [
    # Chromium looks for updates and networks of its own, which a machine without any refuses.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
    "--force-prefers-reduced-motion",
    "--hide-scrollbars",
]
WIDE = {"width": 1440, "height": 900}


def chromium_path() -> str:
    """The installed Chromium; skips, or fails with REQUIRE_BROWSER=1, where there is none."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found:
        return found
    reason = "there is no Chromium on this machine: apt install chromium"
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    path = chromium_path()
    if not (dist_folder() / "index.html").is_file():
        pytest.fail("the web app is not built: run `make ui`")
    flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=path, args=flags)
        try:
            yield launched
        finally:
            await launched.close()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(settings_for(tmp_path)) as served:
        yield served


@pytest.fixture
async def page(browser: Browser, server: Running) -> AsyncIterator[Page]:
    """A page that must not print an error, whatever the test does with it.

    It is closed before the server: a page whose server is gone cannot but complain.
    """
    opened = await browser.new_page(viewport=WIDE, color_scheme="dark")
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    yield opened
    assert errors == []
    await opened.close()
