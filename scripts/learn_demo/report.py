"""The figures for people: tables in the terminal, and the same in `docs/learning.md`.

Owns their words. Does not own the figures (`figures`) nor the picture (`chart`).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from scripts.learn_demo.figures import Attack, Figures, goals
from scripts.learn_demo.nights import Attempt
from understudy.learning.gates.verdict import passed

BEGIN, END = "<!-- learn-demo -->", "<!-- /learn-demo -->"
HEADINGS = ("night", "version", "rows", "new week", "older weeks", "hand-written", "gates")


class Line(msgspec.Struct, frozen=True):
    """One version in the table: which night it is of, its facts, and whether it passed."""

    night: str
    attempt: Attempt

    @property
    def passed(self) -> bool:
        """Whether no gate stopped it."""
        return passed(self.attempt.report.verdicts)

    @property
    def stopped_by(self) -> str:
        """The gates that stopped it, empty when none did."""
        return ", ".join(v.gate for v in self.attempt.report.verdicts if not passed([v]))

    @property
    def cells(self) -> list[str]:
        """What stands in the table, by `HEADINGS`."""
        attempt, rows = self.attempt, self.attempt.manifest.rows
        return [
            self.night,
            attempt.version,
            f"{rows.new} + {rows.old} + {rows.anchor}",
            *(moved(attempt, kind) for kind in ("new_time", "old", "anchor")),
            "passed" if self.passed else f"stopped by {self.stopped_by}",
        ]


def lines(figures: Figures) -> list[Line]:
    """Every version that was trained, in order."""
    nights = (
        ("good week", figures.first),
        ("attack", figures.attack.night),
        ("good week", figures.second),
    )
    return [Line(name, attempt) for name, night in nights for attempt in night.attempts]


def moved(attempt: Attempt, rows: str) -> str:
    """A loss before and after, with its change."""
    before, after = attempt.losses(rows)
    return f"{before:.2f} → {after:.2f} ({attempt.change(rows):+.1%})"


def layers(attack: Attack) -> list[tuple[str, str]]:
    """What stood in the way of the attack, in its order, and what each of them caught."""
    all_votes, counting = attack.raid_votes
    caught = attack.curated
    patient, patient_counting = attack.patient_votes
    stopped = [f"{gate}: {sentence}" for gate, sentence in attack.gates.items()]
    return [
        ("newcomers' votes", f"{all_votes - counting} of {all_votes} votes of the raid weigh 0"),
        *(
            (name, f"{caught.get(reason, 0)} exchanges left out as {reason}")
            for reason, name in (
                ("raid", "a raid is on"),
                ("removed", "moderators' timeouts"),
                ("attack", "an attack is on"),
                ("viewer_share", "a viewer's share"),
            )
        ),
        (
            "nothing of these",
            f"{attack.taught} exchanges of patient attackers were trained on; "
            f"{patient_counting} of their {patient} votes counted",
        ),
        ("the gates", "; ".join(stopped) or "nothing"),
    ]


def show(figures: Figures, console: Console) -> None:
    """Print everything."""
    table = _table("What each night came to (loss in nats per token)", HEADINGS)
    for line in lines(figures):
        table.add_row(*line.cells, style=None if line.passed else "yellow")
    console.print(table)
    table = _table("What stood in the way of the attack", ("layer", "what it caught"))
    for layer in layers(figures.attack):
        table.add_row(*layer)
    console.print(table)
    table = _table("Goals", ("", "figure", "goal", ""))
    for goal in goals(figures):
        table.add_row(goal.name, goal.figure, goal.goal, "met" if goal.met else "MISSED")
    console.print(table)
    if way := figures.way_back:
        console.print(f"The way back took {way.seconds:.2f} s; it should take less than 1 s.")


def markdown(figures: Figures, picture: str) -> str:
    """The same for the documents, with the picture at this address."""
    tried = [
        f"- `{night.last.version}` {tried.reason}."
        for night, tried in (
            (figures.first, figures.first_tried),
            (figures.second, figures.second_tried),
        )
    ]
    parts = [
        f"![Losses before and after each training]({picture})",
        _markdown_table(HEADINGS, (line.cells for line in lines(figures))),
        "Rows are new, older and hand-written ones. Losses are of held-out rows, in nats per "
        "token, before and after.",
        "The canaries:\n\n" + "\n".join(tried),
        "What stood in the way of the attack:\n\n"
        + _markdown_table(("layer", "what it caught"), layers(figures.attack)),
    ]
    if way := figures.way_back:
        parts.append(
            f"The way back to `{way.to}`, while a reply of the newer version streamed to its end, "
            f"took {way.seconds:.2f} s: {way.same} of {way.asked} answers were the same as "
            f"before, byte by byte; the newer version had answered {way.changed} of them otherwise."
        )
    return "\n\n".join(parts)


def renew(document: Path, text: str) -> None:
    """Put `text` between the marks in `document`; raises `ValueError` when it has none."""
    before, begin, rest = document.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document.name} has no {BEGIN} … {END}: put them where figures belong")
    document.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", "utf-8")


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
