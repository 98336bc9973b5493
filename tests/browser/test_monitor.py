"""The chat monitor in a real browser: a rehearsed message is answered before one's eyes."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageStat
from playwright.async_api import Page, expect

from tests.serving import Running

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOT = ROOT / "docs" / "images" / "monitor.png"
ROWS = "[role=feed] article"


async def rehearse(page: Page, server: Running, speed: str = "max") -> None:
    await page.goto(server.url)
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await page.get_by_text(speed, exact=True).click()
    await page.get_by_role("button", name="Rehearse the sample stream").first.click()


async def violations(page: Page) -> list[str]:
    """What axe finds wrong for people with disabilities, one line each."""
    await page.add_script_tag(path=AXE)
    found: list[dict[str, Any]] = await page.evaluate("async () => (await axe.run()).violations")
    return [f"{each['id']}: {each['help']} {each['nodes'][0]['html']}" for each in found]


async def test_a_rehearsed_message_is_answered_on_the_page(page: Page, server: Running) -> None:
    await rehearse(page, server)
    await expect(page.get_by_text("Played all")).to_be_visible(timeout=30_000)
    replies = page.locator("article[data-kind=reply]")
    await expect(replies.last).to_contain_text("Understudy")
    assert await page.locator("article[data-kind=message]").count() > 0

    shown = (await replies.last.inner_text()).splitlines()
    archive = (await server.http.get("/api/v1/messages?limit=1000")).json()["messages"]
    answered = [each for each in archive if (each["decision"] or {}).get("action") == "answered"]
    assert any(each["text"] in " ".join(shown) for each in answered), shown
    assert await page.locator(ROWS).count() < 100, "the feed draws only what is in view"


async def test_the_monitor_is_usable_by_everyone(page: Page, server: Running) -> None:
    await rehearse(page, server)
    await expect(page.get_by_text("Played all")).to_be_visible(timeout=30_000)
    assert await violations(page) == []


async def test_the_monitor_looks_like_its_picture_in_the_readme(
    page: Page, server: Running, tmp_path: Path
) -> None:
    """`make screenshots` renews the picture; sizes tell a page that is broken or empty."""
    await rehearse(page, server)
    await expect(page.get_by_text("Played all")).to_be_visible(timeout=30_000)
    await expect(page.locator("article[data-kind=reply]").last).to_be_visible()
    taken = tmp_path / SCREENSHOT.name
    await page.screenshot(path=taken)
    if os.environ.get("UPDATE_SCREENSHOTS") == "1":
        shutil.copy(taken, SCREENSHOT)
    with Image.open(taken) as now, Image.open(SCREENSHOT) as before:
        assert now.size == before.size
        ours, theirs = (ImageStat.Stat(image.convert("L")) for image in (now, before))
    # Times and the millisecond counts differ; the amount of light and of drawing does not.
    assert ours.mean == pytest.approx(theirs.mean, rel=0.1)
    assert ours.stddev == pytest.approx(theirs.stddev, rel=0.1)


async def test_a_reason_is_given_for_every_message(page: Page, server: Running) -> None:
    await rehearse(page, server)
    await expect(page.get_by_text("Played all")).to_be_visible(timeout=30_000)
    listed = (await server.http.get("/api/v1/messages?limit=1000")).json()["messages"]
    newest = max(listed, key=lambda each: each["ts"])
    # The feed may still be following the last events down.
    await page.locator("article[data-kind=message]", has_text=newest["text"]).last.click()
    await expect(page.locator("[aria-current=true]")).to_contain_text(newest["decision"]["detail"])


async def test_mute_and_unmute_reach_the_server(page: Page, server: Running) -> None:
    await page.goto(server.url)
    await page.get_by_role("button", name="Mute").click()
    await expect(page.get_by_role("button", name="Unmute")).to_be_visible()
    assert (await server.http.get("/api/v1/status")).json()["muted"] is True
    await page.keyboard.press("m")
    await expect(page.get_by_role("button", name="Mute", exact=True)).to_be_visible()
    assert (await server.http.get("/api/v1/status")).json()["muted"] is False


async def test_another_tab_stops_a_running_rehearsal(page: Page, server: Running) -> None:
    started = await server.http.post("/api/v1/rehearsals", json={"sample": True, "speed": 1})
    await page.goto(server.url)
    await page.get_by_role("button", name="Stop").click()
    await expect(page.get_by_text("Stopped after")).to_be_visible()
    state = await server.http.get(f"/api/v1/rehearsals/{started.json()['id']}")
    assert state.json()["state"] == "stopped"


async def test_the_feed_follows_until_the_reader_scrolls_up(page: Page, server: Running) -> None:
    await rehearse(page, server)
    await expect(page.get_by_text("Played all")).to_be_visible(timeout=30_000)
    newest = page.get_by_text("Stream is ending. See you Tuesday")
    await expect(newest).to_be_visible()
    await page.get_by_role("feed").hover()
    await page.mouse.wheel(0, -600)
    await expect(page.get_by_role("button", name="Back to live")).to_be_visible()
    await page.mouse.wheel(0, 2_000)
    await expect(page.get_by_role("button", name="Back to live")).to_be_hidden()
    await expect(newest).to_be_visible()


async def test_a_thumb_is_stored(page: Page, server: Running) -> None:
    await rehearse(page, server)
    await expect(page.get_by_text("Played all")).to_be_visible(timeout=30_000)
    reply = page.locator("article[data-kind=reply]").last
    await reply.get_by_role("button", name="Good reply").click()
    await expect(reply.get_by_text("stored as good")).to_be_visible()


async def test_the_page_comes_back_after_the_server_was_away(page: Page, server: Running) -> None:
    await page.goto(server.url)
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    # The browser's own network goes, which looks the same as a server that is restarted.
    await page.context.set_offline(True)
    await page.evaluate("window.dispatchEvent(new Event('offline'))")
    await page.context.set_offline(False)
    await expect(page.get_by_text("Live", exact=True)).to_be_visible(timeout=20_000)
