"""A call of a tool waits for a moderator, who sees it on the monitor and decides."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.test_monitor import violations
from tests.serving import Running
from understudy.engine.tools.approvals import Verdict
from understudy.engine.tools.base import Caller

pytestmark = pytest.mark.browser


def ask(server: Running, tool: str, text: str) -> asyncio.Task[Verdict]:
    approvals = server.application.services.approvals
    return asyncio.create_task(
        approvals.ask(
            tool=tool,
            description="Sets the colour of the lights.",
            arguments='{"colour":"red"}',
            caller=Caller("kim", "viewer", "ana_plays", "channel_ana_plays"),
            text=text,
            why="Calls of this tool are confirmed.",
        )
    )


async def test_a_moderator_allows_one_call_and_declines_another(
    page: Page, server: Running, tmp_path: Path
) -> None:
    await page.goto(server.url)
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    panel = page.get_by_role("region", name="Waiting for your approval")
    await expect(panel).to_have_count(0)

    first = ask(server, "lights__colour", "make it <b>red</b>")
    second = ask(server, "lights__off", "lights off!")
    calls = panel.get_by_role("listitem")
    await expect(calls).to_have_count(2)
    await expect(calls.first).to_contain_text("lights__colour for kim (viewer), who wrote")
    await expect(calls.first).to_contain_text("“make it <b>red</b>”")
    await expect(calls.first).to_contain_text('{"colour":"red"}')
    await page.screenshot(path=tmp_path / "approvals.png")
    assert await violations(page) == []

    await calls.first.get_by_role("button", name="Allow").click()
    assert (await asyncio.wait_for(first, 10)).answer == "approved"
    await expect(calls).to_have_count(1)
    await calls.first.get_by_role("button", name="Decline").click()
    assert (await asyncio.wait_for(second, 10)).answer == "declined"
    await expect(panel).to_have_count(0)
