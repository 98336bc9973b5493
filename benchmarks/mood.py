"""How well and how fast the mood of a chat is read: `make bench BENCH=mood`.

Quality is measured on labelled lines written for it (`tests/data/mood_lines.jsonl`). Word lists and
rules were tuned on the third called `tune`, and the trained model learns from it alone; the figures
are of the other two thirds. Lists and lines have the same authors, so the figures are upper
bounds for a chat nobody has seen. Speed is of one process, per second of its CPU time, in batches
of 256.

The meter is driven by the sample stream, by half an hour of simulated chat with one change of mood
in the middle, and by that chat with one viewer who writes five lines a second.

    python benchmarks/mood.py [--rounds 5] [--lines 30000]
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from understudy.events import ChatMessage, Event
from understudy.mood.curve import mood_curve
from understudy.mood.figures import Figures, compare
from understudy.mood.labels import LabelledLine, read_labels
from understudy.mood.lexicon import Lexicon
from understudy.mood.meter import Meter
from understudy.mood.training import train
from understudy.sources.recordings import read_recording
from understudy.sources.rehearsal import sample_path

LINES = Path(__file__).resolve().parent.parent / "tests" / "data" / "mood_lines.jsonl"
MINUTE = 60_000
HALF_HOUR = 30 * MINUTE
RATE = 1.5
VIEWERS = 60
START = 1_763_150_400_000

Row = tuple[str, str, str, bool | None]
"""What was measured, its value, its goal, and whether that was reached."""


def lines_of(split: str) -> list[LabelledLine]:
    wanted = [line for line in LINES.read_bytes().splitlines() if f'"{split}"'.encode() in line]
    chosen = {msgspec.json.decode(line)["text"] for line in wanted}
    return [line for line in read_labels([LINES]).lines if line.text in chosen]


def per_second(work: Callable[[Sequence[str]], object], texts: list[str], rounds: int) -> float:
    rates: list[float] = []
    for _ in range(rounds):
        began = time.process_time()
        for start in range(0, len(texts), 256):
            work(texts[start : start + 256])
        rates.append(len(texts) / (time.process_time() - began))
    return statistics.median(rates)


def figures_of(lines: list[LabelledLine], guess: Callable[[list[str]], list[Any]]) -> Figures:
    return compare([line.label for line in lines], guess([line.text for line in lines]))


def quality_rows(name: str, figures: Figures, accuracy: float, f1: float) -> list[Row]:
    each = ", ".join(f"{label} {value:.1%}" for label, value in figures.f1.items())
    return [
        (f"{name}, accuracy", f"{figures.accuracy:.1%}", f">= {accuracy:.0%}",
         figures.accuracy >= accuracy),
        (f"{name}, macro-F1", f"{figures.macro_f1:.1%}", f">= {f1:.1%}", figures.macro_f1 >= f1),
        (f"{name}, F1", each, "", None),
    ]  # fmt: skip


def speed_row(name: str, rate: float, goal: int) -> Row:
    return (f"{name}, messages/s", f"{rate:,.0f}", f">= {goal:,}", rate >= goal)


def measure_quality(rounds: int, count: int) -> list[Row]:
    tune, held_out = lines_of("tune"), lines_of("held_out")
    lexicon = Lexicon()
    texts = [line.text for line in tune + held_out]
    many = random.Random(1).choices(texts, k=count)
    rows: list[Row] = [(f"held-out lines (tuned on {len(tune)})", str(len(held_out)), "", None)]
    found = figures_of(held_out, lambda lines: [lexicon.label(text) for text in lines])
    rows += quality_rows("word lists", found, 0.64, 0.63)
    rows.append(speed_row("word lists", per_second(lexicon.score_all, many, rounds), 200_000))
    model = train(tune, lexicon=lexicon).model
    found = figures_of(held_out, lambda lines: [s.label for s in model.label(lines)])
    rows += quality_rows(f"trained on {len(tune)} lines", found, 0.72, 0.705)
    crossed = train(held_out, lexicon=lexicon)
    name = f"trained, {crossed.folds}-fold on the held-out lines"
    rows += quality_rows(name, crossed.figures, 0.72, 0.705)
    rows.append(speed_row("trained", per_second(model.label, many[: count // 3], rounds), 4_000))
    return rows


def simulated(rng: random.Random, *, change: bool) -> list[ChatMessage]:
    """Half an hour at 1.5 messages/s by 60 viewers: cheerful, then sour where `change` says so."""
    by_label: dict[str, list[str]] = {}
    for line in lines_of("tune"):
        by_label.setdefault(line.label, []).append(line.text)
    events: list[ChatMessage] = []
    at = 0.0
    while (at := at + rng.expovariate(RATE) * 1000) < HALF_HOUR:
        sour = change and at > HALF_HOUR / 2
        weights = (5, 4, 1) if sour else (1, 4, 5)
        label = rng.choices(("negative", "neutral", "positive"), weights)[0]
        text = rng.choice(by_label[label])
        events.append(chat(len(events), START + int(at), f"v{rng.randrange(VIEWERS)}", text))
    return events


def chat(number: int, ts: int, user: str, text: str) -> ChatMessage:
    return ChatMessage(id=f"m{user}{number}", channel="bench", ts=ts, user=user, text=text)


def flips(events: Iterable[Event], lexicon: Lexicon) -> int:
    labels = [reading.label for reading in mood_curve(events, lexicon)]
    return sum(one != two for one, two in pairwise(labels))


def spam_shift(events: list[ChatMessage], text: str, lexicon: Lexicon) -> float:
    """The furthest that a viewer moves the mood who writes five lines a second for 10 minutes."""
    begin, end = START + 10 * MINUTE, START + 20 * MINUTE
    spam = [
        chat(number, ts, "spammer", f"{text} {number}")
        for number, ts in enumerate(range(begin, end, 200))
    ]
    calm, spammed = Meter("bench"), Meter("bench")
    furthest = 0.0
    for event in sorted(events + spam, key=lambda event: event.ts):
        score = lexicon.score(event.text)
        spammed.add(event, score, event.ts)
        if event.user != "spammer":
            calm.add(event, score, event.ts)
        calm.take(event.ts)
        furthest = max(furthest, abs(spammed.value - calm.value))
    return furthest


def measure_meter() -> list[Row]:
    lexicon = Lexicon()
    sample = [event for event in read_recording(sample_path()) if isinstance(event, Event)]
    minutes = (sample[-1].ts - sample[0].ts) / MINUTE
    steady = simulated(random.Random(3), change=False)
    changing = simulated(random.Random(4), change=True)
    shifts = [spam_shift(steady, text, lexicon) for text in ("so bad boring trash", "PogChamp")]
    shifts += [spam_shift(changing, text, lexicon) for text in ("so bad boring trash", "PogChamp")]
    return [
        flip_row(f"the sample stream ({minutes:.0f} min)", flips(sample, lexicon)),
        flip_row("30 min of steady chat", flips(steady, lexicon)),
        flip_row("30 min of a chat that turns once", flips(changing, lexicon)),
        ("shift by one spamming viewer", f"{max(shifts):.3f}", "<= 0.05", max(shifts) <= 0.05),
    ]


def flip_row(name: str, count: int) -> Row:
    return (f"label flips in {name}", str(count), "<= 3", count <= 3)


def show(rows: list[Row]) -> bool:
    """Print the table; whether every goal was met."""
    table = Table(title="Understudy: mood")
    for heading in ("measured", "value", "goal", ""):
        table.add_column(heading, justify="left" if heading == "measured" else "right")
    for name, value, goal, reached in rows:
        table.add_row(name, value, goal, "" if reached is None else "ok" if reached else "MISSED")
    Console(width=120).print(table)
    return all(reached is not False for *_, reached in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="timed passes, of which the median")
    parser.add_argument("--lines", type=int, default=30_000, help="messages in a timed pass")
    options = parser.parse_args()
    rows = measure_quality(options.rounds, options.lines) + measure_meter()
    sys.exit(not show(rows))


if __name__ == "__main__":
    main()
