"""Logging in to Twitch in the web app, with the code that is entered elsewhere."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.test_monitor import violations
from tests.fakes.twitch_id import CLIENT_ID, Account, TwitchIdServer
from tests.serving import Running, running, settings_for
from understudy.sources.twitch.scopes import LOGIN_SCOPES

pytestmark = pytest.mark.browser


@pytest.fixture
async def ids() -> AsyncIterator[TwitchIdServer]:
    async with TwitchIdServer() as ids:
        ids.interval = 0.01
        yield ids


@pytest.fixture
async def server(tmp_path: Path, ids: TwitchIdServer) -> AsyncIterator[Running]:
    settings = settings_for(tmp_path, twitch__client_id=CLIENT_ID, twitch__id_url=ids.origin)
    async with running(settings) as served:
        yield served


async def test_a_login_from_the_code_to_the_way_out(
    page: Page, server: Running, ids: TwitchIdServer, tmp_path: Path
) -> None:
    await page.goto(server.url)
    await page.get_by_role("link", name="Channels").click()
    panel = page.get_by_role("region", name="Twitch")
    await expect(panel).to_contain_text("Nobody is logged in.")
    await panel.get_by_role("button", name="Log in to Twitch").click()
    await expect(panel.get_by_label("Code")).to_have_text("ABCDEFGH")
    activate = panel.get_by_role("link", name="twitch.tv/activate")
    await expect(activate).to_have_attribute(
        "href", "https://www.twitch.tv/activate?device-code=ABCDEFGH"
    )
    await page.screenshot(path=tmp_path / "channels.png")
    assert await violations(page) == []
    await page.reload()
    await expect(panel.get_by_label("Code")).to_have_text("ABCDEFGH")

    ids.approve(Account("cohost", "4242", LOGIN_SCOPES))
    await expect(panel).to_contain_text("Logged in as cohost.", timeout=10_000)
    assert await violations(page) == []
    await panel.get_by_role("button", name="Log out").click()
    await expect(panel).to_contain_text("Nobody is logged in.")
    assert not ids.access
