"""Judging a reply in the monitor with a real browser: it is stored, and it changes what is said."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.test_monitor import AXE, rehearse
from tests.serving import Running

pytestmark = pytest.mark.browser


async def test_a_reply_is_judged_with_the_keyboard(page: Page, server: Running) -> None:
    await rehearse(page, server)
    await expect(page.get_by_text("Played all")).to_be_visible(timeout=30_000)
    reply = page.locator("article[data-kind=reply]").last
    await reply.click()
    await page.keyboard.press("b")
    await expect(reply).to_contain_text("stored as bad")
    await page.keyboard.press("e")
    field = reply.get_by_label("The reply as it should have been")
    await expect(field).to_be_focused()
    await page.add_script_tag(path=AXE)
    found = await page.evaluate("async () => (await axe.run('article form')).violations")
    assert [each["id"] for each in found] == []
    await field.fill("Good night, all of you!")
    await page.keyboard.press("Enter")
    await expect(reply).to_contain_text("better reply stored")
    judges = reply.get_by_label("Judgements")
    await expect(judges).to_contain_text("local (streamer) did not like it")
    await expect(judges).to_contain_text("would have said “Good night, all of you!”")
    services = server.application.services
    judged = [row async for row in services.experiences.iterate() if row.correction]
    assert [(row.correction, row.rating) for row in judged] == [("Good night, all of you!", -5.0)]
    await reply.get_by_role("button", name="Bad reply").click()
    await expect(reply).to_contain_text("taken back")
    await expect(judges).not_to_contain_text("did not like it")
