"""Writes the pictures of `docs/overlays.md`: each theme of the mood overlay in three moods.

Owns the evenings that are shown and the games behind them, one dark and one bright. A real server
serves the overlay, the readings travel over its bus, and a real Chromium draws them; `make ui` and
Chromium are needed.
"""

import asyncio
import io
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFilter
from playwright.async_api import Browser, Playwright, async_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser.conftest import FLAGS  # noqa: E402
from tests.serving import Running, running, settings_for  # noqa: E402
from understudy.events import MoodLabel, MoodReading, now_ms  # noqa: E402
from understudy.web import dist_folder  # noqa: E402

IMAGES = ROOT / "docs" / "images"
GAP = 8
EVENING_SECONDS = 300
READINGS = 150
SETTLED = "() => document.getAnimations().length === 0"

Colour = tuple[int, int, int]


class Theme(NamedTuple):
    """How a theme is pictured: the size of the browser source, and of one panel of the sheet."""

    source: tuple[int, int]
    panel: tuple[int, int]


class Evening(NamedTuple):
    """A mood that a chat arrives at: its mean, how lively it is, and the newest message."""

    label: MoodLabel
    value: float
    intensity: float
    message: float


class Game(NamedTuple):
    """What lies behind the overlay: the colours of the sky's ends, and of the hills."""

    above: Colour
    below: Colour
    hills: tuple[Colour, Colour, Colour]


THEMES = {
    "glow": Theme((1280, 720), (400, 225)),
    "bar": Theme((400, 64), (400, 84)),
    "river": Theme((400, 140), (400, 140)),
}
EVENINGS = {
    "tense": Evening("negative", -0.72, 0.75, -0.9),
    "calm": Evening("neutral", 0.04, 0.3, 0.1),
    "happy": Evening("positive", 0.74, 0.9, 0.95),
}
GAMES = (
    Game((22, 24, 54), (74, 54, 94), ((38, 44, 70), (28, 34, 54), (18, 22, 36))),
    Game((126, 190, 235), (232, 240, 236), ((176, 206, 170), (146, 190, 128), (206, 196, 150))),
)


def readings(channel: str, evening: Evening, until: int) -> Iterator[MoodReading]:
    """The last five minutes before `until`, from another mood to that of the evening."""
    for number in range(READINGS):
        share = (number + 1) / READINGS
        eased = share * share * (3 - 2 * share)
        sway = (1 - share) * (0.35 * math.sin(9 * share) + 0.2 * math.sin(23 * share + 1))
        lively = 0.5 + 0.5 * math.sin(14 * share)
        is_newest = number == READINGS - 1
        yield MoodReading(
            id=f"{channel}-{number}",
            channel=channel,
            ts=until - round((1 - share) * EVENING_SECONDS * 1_000),
            value=evening.value * eased - 0.3 * evening.value * (1 - eased) + sway,
            label=evening.label,
            intensity=evening.intensity * eased + (1 - eased) * (0.15 + 0.4 * lively),
            message=evening.message if is_newest else 0.0,
            count=number,
        )


def landscape(size: tuple[int, int], game: Game) -> Image.Image:
    """A made-up game, so that one sees what shines through."""
    width, height = size
    picture = Image.new("RGB", size)
    pen = ImageDraw.Draw(picture)
    for y in range(height):
        share = y / height
        sky = zip(game.above, game.below, strict=True)
        red, green, blue = (round(top + (bottom - top) * share) for top, bottom in sky)
        pen.line([(0, y), (width, y)], (red, green, blue))
    for layer, colour in enumerate(game.hills):
        crests = [
            (x, height * (0.5 + 0.15 * layer) + height * 0.1 * math.sin(x / width * (7 + 4 * layer)
                + 2 * layer) * math.cos(x / width * 3 + layer))
            for x in range(0, width + 1, 2)
        ]  # fmt: skip
        pen.polygon([(0, height), *crests, (width, height)], colour)
    return picture.filter(ImageFilter.GaussianBlur(0.6))


async def launch(playwright: Playwright) -> Browser:
    """The Chromium of this machine, as the browser tests start it."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if not path or not (dist_folder() / "overlay").is_dir():
        raise SystemExit("the pictures need Chromium (apt install chromium) and `make ui`")
    flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    return await playwright.chromium.launch(executable_path=path, args=flags)


async def photograph(browser: Browser, server: Running, theme: str, mood: str) -> Image.Image:
    """The overlay alone, transparent around what it shows."""
    channel = f"{theme}-{mood}"
    for reading in readings(channel, EVENINGS[mood], now_ms()):
        await server.application.services.bus.publish(reading)
    await server.application.services.bus.drained()
    width, height = THEMES[theme].source
    page = await browser.new_page(viewport={"width": width, "height": height})
    try:
        await page.goto(f"{server.url}/overlay/mood?theme={theme}&channel={channel}")
        await page.wait_for_selector(f".us-mood.us-live[data-label={EVENINGS[mood].label}]")
        await page.wait_for_function(SETTLED)
        taken = await page.screenshot(omit_background=True)
    finally:
        await page.close()
    return Image.open(io.BytesIO(taken)).convert("RGBA")


def over_game(overlay: Image.Image, theme: Theme, game: Game) -> Image.Image:
    """The overlay in the middle of the game, in the size of a panel."""
    share = theme.panel[0] / theme.source[0]
    whole = (theme.source[0], round(theme.panel[1] / share))
    picture = landscape(whole, game).convert("RGBA")
    picture.alpha_composite(overlay, (0, (whole[1] - overlay.height) // 2))
    return picture.convert("RGB").resize(theme.panel, Image.Resampling.LANCZOS)


def contact_sheet(overlays: list[Image.Image], theme: Theme) -> Image.Image:
    """A row of panels for each game, a column for each overlay, on nothing."""
    width, height = theme.panel
    across, down = width + GAP, height + GAP
    sheet = Image.new("RGBA", (len(overlays) * across - GAP, len(GAMES) * down - GAP))
    for row, game in enumerate(GAMES):
        for column, overlay in enumerate(overlays):
            sheet.paste(over_game(overlay, theme, game), (column * across, row * down))
    return sheet


async def write(folder: Path) -> None:
    """Write one picture for each theme into `folder`."""
    with tempfile.TemporaryDirectory() as data:
        async with running(settings_for(Path(data))) as server, async_playwright() as playwright:
            browser = await launch(playwright)
            for name, theme in THEMES.items():
                overlays = [await photograph(browser, server, name, mood) for mood in EVENINGS]
                picture = contact_sheet(overlays, theme)
                picture.save(folder / f"mood-{name}.png", optimize=True)
            await browser.close()


if __name__ == "__main__":
    asyncio.run(write(IMAGES))
