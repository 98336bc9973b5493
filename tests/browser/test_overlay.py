"""The chat overlay as OBS shows it, and `/try`, the raw test client."""

import asyncio

import pytest
from playwright.async_api import Page, expect

from tests.serving import Running

pytestmark = pytest.mark.browser


async def finished(server: Running, rehearsal: str) -> None:
    found = server.application.services.rehearsals.get(rehearsal)
    assert found is not None
    assert found.task is not None
    await asyncio.wait_for(asyncio.shield(found.task), 30)
    assert found.state == "finished"


async def test_the_chat_overlay_shows_chat_and_replies_on_nothing(
    page: Page, server: Running
) -> None:
    await page.goto(f"{server.url}/overlay/chat")
    background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgba(0, 0, 0, 0)"
    body = {"sample": True, "speed": "max", "seed": 1}
    started = await server.http.post("/api/v1/rehearsals", json=body)
    await finished(server, started.json()["id"])

    rows = page.locator(".us-row")
    await expect(rows.last).to_be_visible()
    assert await rows.count() <= 8
    newest = (await server.http.get("/api/v1/messages?limit=1000")).json()["messages"][-1]
    await expect(page.locator(".us-message").last).to_contain_text(newest["text"])


async def test_the_overlay_s_sample_needs_no_chat(page: Page, server: Running) -> None:
    await page.goto(f"{server.url}/overlay/chat?sample=1&max=3")
    await expect(page.locator(".us-row")).to_have_count(3)


@pytest.mark.parametrize("way", ["chat", "ws", "sse"])
async def test_the_test_client_answers_on_every_way_in(
    page: Page, server: Running, way: str
) -> None:
    await page.goto(f"{server.url}/try")
    await page.locator(f"input[value={way}]").check()
    await page.locator("#message").fill("hello there")
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(page.locator("#reply")).not_to_be_empty()
    await expect(page.locator("#frames .received").first).to_be_visible()
