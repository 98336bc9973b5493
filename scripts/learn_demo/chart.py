"""The picture of the nights: how far each version moved the losses, as an SVG.

Owns its geometry and colours. Does not own the figures.
"""

from collections.abc import Iterator
from html import escape

from scripts.learn_demo.report import Line

WIDTH, LEFT, RIGHT = 760, 250, 30
TOP, GROUP, STEP = 56, 96, 24
KINDS = (
    ("new_time", "the new week", "#2563eb"),
    ("old", "older weeks", "#15803d"),
    ("anchor", "hand-written rows", "#7c3aed"),
)
INK, FAINT, STOPPED = "#1f2937", "#d1d5db", "#b91c1c"


def draw(lines: list[Line]) -> str:
    """The picture of these versions, one below the other."""
    highest = max(max(line.attempt.losses(kind)) for line in lines for kind, _, _ in KINDS)
    most = int(highest) + 1
    height = TOP + GROUP * len(lines) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
        _text(20, 26, "Loss on held-out rows before (ring) and after (disc) each training", 15),
        *_axis(most, height - 34),
    ]
    for number, line in enumerate(lines):
        parts += _group(line, TOP + GROUP * number, most)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axis(most: int, bottom: int) -> Iterator[str]:
    for nats in range(most + 1):
        x = _x(nats, most)
        yield f'<path d="M{x:.1f} {TOP - 10}V{bottom}" stroke="{FAINT}"/>'
        yield _text(x, bottom + 18, str(nats), anchor="middle")
    yield _text(WIDTH - RIGHT, bottom + 32, "nats per token", 11, anchor="end")


def _group(line: Line, top: int, most: int) -> Iterator[str]:
    verdict = "passed" if line.passed else f"stopped by {line.stopped_by}"
    yield _text(20, top + 12, f"{line.attempt.version}: {line.night}", 14)
    yield _text(20, top + 32, verdict, colour=INK if line.passed else STOPPED)
    for number, (kind, name, colour) in enumerate(KINDS):
        y = top + 8 + STEP * number
        before, after = (_x(loss, most) for loss in line.attempt.losses(kind))
        yield _text(LEFT - 14, y + 4, name, 12, anchor="end")
        yield f'<path d="M{before:.1f} {y}H{after:.1f}" stroke="{colour}" stroke-width="2"/>'
        ring = f'fill="#ffffff" stroke="{colour}" stroke-width="2"'
        yield f'<circle cx="{before:.1f}" cy="{y}" r="6" {ring}/>'
        yield f'<circle cx="{after:.1f}" cy="{y}" r="4.5" fill="{colour}"/>'
        yield _text(
            max(before, after) + 12, y + 4, f"{line.attempt.change(kind):+.1%}", 12, colour=colour
        )


def _x(nats: float, most: int) -> float:
    return LEFT + nats / most * (WIDTH - LEFT - RIGHT - 40)


def _text(
    x: float, y: float, text: str, size: int = 13, *, anchor: str = "start", colour: str = INK
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(text)}</text>"
    )
