"""The mood overlay as OBS shows it, and the curve of the monitor, in a real browser."""

import io
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageStat
from playwright.async_api import Locator, Page, WebSocketRoute, expect

from tests.serving import Running, running, settings_for
from understudy.events import MoodLabel, MoodReading, now_ms

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
THEMES = ["glow", "bar", "river"]
SETTLED = "() => document.getAnimations().length === 0"
OBS = {"width": 960, "height": 540}

# Counts what asks for a frame and how far anything jumps, from the first script on.
WATCH = """
window.frames_asked = 0; window.shifted = 0;
const ask = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (draw) => { window.frames_asked += 1; return ask(draw); };
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""

_numbers = count()


def mood(value: float, channel: str = "ana_plays", **more: Any) -> MoodReading:
    """A reading of now, lively, whose newest message sounds like the rest."""
    label: MoodLabel = "positive" if value > 0.2 else "negative" if value < -0.2 else "neutral"
    fields = {"intensity": 0.8, "message": value, "label": label, "ts": now_ms()} | more
    return MoodReading(id=f"r{next(_numbers)}", channel=channel, value=value, **fields)


async def publish(server: Running, *readings: MoodReading) -> None:
    for reading in readings:
        await server.application.services.bus.publish(reading)


async def open_overlay(page: Page, server: Running, query: str) -> Locator:
    """The overlay's root, connected."""
    await page.set_viewport_size(OBS)
    await page.goto(f"{server.url}/overlay/mood?{query}")
    root = page.locator(".us-mood.us-live")
    await expect(root).to_be_attached()
    return root


async def picture(page: Page) -> Image.Image:
    """The page as OBS gets it, when everything has come to rest."""
    await page.wait_for_function(SETTLED)
    return Image.open(io.BytesIO(await page.screenshot(omit_background=True))).convert("RGBA")


def light(image: Image.Image) -> list[float]:
    """Red, green, blue and alpha of the overlay in the dark."""
    dark = Image.new("RGBA", image.size, "black")
    return ImageStat.Stat(Image.alpha_composite(dark, image)).mean


@pytest.mark.parametrize("theme", THEMES)
async def test_the_colour_is_the_mood_s_and_around_it_is_nothing(
    page: Page, server: Running, theme: str
) -> None:
    root = await open_overlay(page, server, f"theme={theme}")
    background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgba(0, 0, 0, 0)"
    await publish(server, mood(-0.8))
    await expect(root).to_have_attribute("data-label", "negative")
    tense = await picture(page)
    await publish(server, mood(0.8))
    await expect(root).to_have_attribute("data-label", "positive")
    happy = await picture(page)

    assert tense.getpixel((OBS["width"] // 2, 4))[3] == 0, "the top stays free"
    assert tense.getextrema()[3][1] > 100, "something is drawn"
    warmth = [red - blue for red, _, blue, _ in (light(tense), light(happy))]
    assert warmth[0] > warmth[1]


async def test_what_came_before_the_page_is_shown_from_the_snapshot(
    page: Page, server: Running
) -> None:
    await publish(server, mood(0.1), mood(0.7))
    await server.application.services.bus.drained()
    root = await open_overlay(page, server, "theme=bar")
    await expect(root).to_have_attribute("data-label", "positive")
    await expect(page.locator(".us-word-text.us-on")).to_have_text("Happy")


async def test_the_newest_message_tints_the_mood_and_never_turns_it_over(
    page: Page, server: Running
) -> None:
    await open_overlay(page, server, "theme=bar")
    fill = page.locator(".us-fill")
    colours: list[tuple[int, int, int]] = []
    for message in (0.6, -1.0):
        await publish(server, mood(0.6, message=message))
        bar = page.locator(f".us-bar[style*='--us-message: {message:.3f}']")
        await expect(bar).to_be_attached()
        await page.wait_for_function(SETTLED)
        shown = await fill.evaluate("(element) => getComputedStyle(element).backgroundColor")
        red, green, blue = shown.removeprefix("rgb(").removesuffix(")").split(",")
        colours.append((int(red), int(green), int(blue)))
    assert colours[0] != colours[1]
    assert all(blue > red for red, _, blue in colours), "a happy chat stays blue"


async def test_one_channel_is_followed(page: Page, server: Running) -> None:
    root = await open_overlay(page, server, "theme=bar&channel=ana_plays")
    await publish(server, mood(-0.9, channel="other"), mood(0.9))
    await expect(root).to_have_attribute("data-label", "positive")
    await publish(server, mood(-0.9, channel="other"), mood(0.0))
    await expect(root).to_have_attribute("data-label", "neutral")


async def test_without_a_server_it_fades_out_and_comes_back_by_itself(
    page: Page, server: Running
) -> None:
    sockets: list[WebSocketRoute] = []
    is_away = False

    async def pass_on(socket: WebSocketRoute) -> None:
        if is_away:
            await socket.close()
            return
        socket.connect_to_server()
        sockets.append(socket)

    await page.route_web_socket("**/ws/overlay/**", pass_on)
    await page.clock.install()
    await open_overlay(page, server, "theme=glow")
    root = page.locator(".us-mood")
    await publish(server, mood(0.8))
    await expect(root).to_have_attribute("data-label", "positive")

    is_away = True
    await sockets[-1].close()
    await page.clock.run_for(20_000)
    await expect(root).not_to_have_class("us-mood us-live")
    await expect(root).to_have_css("opacity", "0")
    assert (await picture(page)).getextrema()[3] == (0, 0), "no message, nothing"

    is_away = False
    await publish(server, mood(-0.8))
    await page.clock.run_for(20_000)
    await expect(root).to_have_class("us-mood us-live")
    await expect(root).to_have_attribute("data-label", "negative")


@pytest.mark.parametrize("theme", ["glow", "bar"])
async def test_nothing_is_drawn_while_nothing_changes(
    page: Page, server: Running, theme: str
) -> None:
    await page.clock.install()
    await page.add_init_script(WATCH)
    root = await open_overlay(page, server, f"theme={theme}")
    await publish(server, mood(0.8))
    await expect(root).to_have_attribute("data-label", "positive")
    await page.clock.run_for(10_000)  # the message is no longer new
    await page.wait_for_function(SETTLED, polling=100)
    before = await page.evaluate("frames_asked")
    assert 0 < before < 10
    # Shorter than the silence after which a socket counts as dead.
    await page.clock.run_for(30_000)
    assert await page.evaluate("frames_asked") == before


@pytest.mark.parametrize("theme", THEMES)
async def test_nothing_on_the_page_jumps(page: Page, server: Running, theme: str) -> None:
    await page.add_init_script(WATCH)
    root = await open_overlay(page, server, f"theme={theme}&label=1&words=no,nothing much,a party")
    for value, label in ((-0.9, "negative"), (0.0, "neutral"), (0.9, "positive")):
        await publish(server, mood(value))
        await expect(root).to_have_attribute("data-label", label)
    await page.wait_for_function(SETTLED)
    assert await page.evaluate("shifted") == 0


@pytest.mark.parametrize(("wish", "seconds"), [("no-preference", "0.9s"), ("reduce", "0s")])
async def test_who_wants_less_motion_gets_less(
    page: Page, server: Running, wish: Any, seconds: str
) -> None:
    await page.emulate_media(reduced_motion=wish)
    await open_overlay(page, server, "theme=bar")
    await expect(page.locator(".us-marker")).to_have_css("transition-duration", seconds)


@pytest.mark.parametrize("theme", THEMES)
async def test_the_sample_needs_no_chat(page: Page, server: Running, theme: str) -> None:
    await page.add_init_script(path=AXE)
    await open_overlay(page, server, f"theme={theme}&sample=1&label=1")
    await expect(page.locator(".us-word-text.us-on")).to_have_css("opacity", "1")
    found = await page.evaluate("async () => (await axe.run()).violations.map((each) => each.id)")
    assert found == []


async def test_the_monitor_draws_the_mood_of_the_chat(page: Page, server: Running) -> None:
    await page.goto(server.url)
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    start = now_ms()
    for second in range(60):
        reading = mood(0.5 - second / 60, ts=start + 2_000 * second)
        await publish(server, reading)
    curve = page.get_by_role("img", name="Mood of ana_plays")
    await expect(curve).to_have_accessible_name(
        "Mood of ana_plays in the last ten minutes, now tense, −0.48"  # noqa: RUF001
    )
    drawn = await curve.locator("polyline").get_attribute("points")
    assert drawn is not None
    assert len(drawn.split()) == 60
    await expect(page.get_by_role("heading", name="Mood: tense")).to_be_visible()
    await page.add_script_tag(path=AXE)
    found = await page.evaluate("async () => (await axe.run()).violations.map((each) => each.id)")
    assert found == []


async def test_the_page_overlays_makes_the_address(page: Page, server: Running) -> None:
    await page.goto(f"{server.url}/overlays")
    await page.get_by_text("Mood", exact=True).click()
    await page.get_by_text("Bar", exact=True).click()
    field = page.get_by_label("Address for OBS")
    await expect(field).to_have_value(f"{server.url}/overlay/mood?theme=bar")
    await page.get_by_text("River", exact=True).click()
    await expect(field).to_have_value(f"{server.url}/overlay/mood?theme=river")
    preview = page.frame_locator("iframe")
    await expect(preview.locator(".us-mood.us-live .us-river")).to_be_visible()
    await page.add_script_tag(path=AXE)
    found = await page.evaluate("async () => (await axe.run()).violations.map((each) => each.id)")
    assert found == []


async def test_a_key_is_asked_for_where_tokens_are(page: Page, tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, auth__required=True)) as server:
        async with page.expect_websocket():
            await page.goto(f"{server.url}/overlay/mood")
        async with page.expect_websocket():
            pass  # The first was refused, or there would be no second.
        await expect(page.locator(".us-mood")).to_have_css("opacity", "0")
        _, key = await server.application.services.overlay_keys.create("mood")
        root = await open_overlay(page, server, f"theme=bar&key={key}")
        await publish(server, mood(0.8))
        await expect(root).to_have_attribute("data-label", "positive")
