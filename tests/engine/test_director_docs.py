"""`docs/director.md` names every reason there is, with its fate, and the true priorities."""

import re
from pathlib import Path
from typing import get_args

from understudy.engine.candidates import AnswerReason, SkipReason
from understudy.engine.stream_events import Reactions
from understudy.events import StreamEvent

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "director.md").read_text(encoding="utf-8")
FILTER = (ROOT / "src" / "understudy" / "safety" / "moderation.py").read_text(encoding="utf-8")


def section(heading: str) -> str:
    return DOCUMENT.split(f"## {heading}\n")[1].split("\n## ")[0]


def test_every_reason_is_in_the_table_with_its_fate() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| .+ \|$", section("Every reason"), re.MULTILINE)
    fates = dict.fromkeys(get_args(AnswerReason), "answered")
    fates |= dict.fromkeys(get_args(SkipReason), "skipped")
    fates |= dict.fromkeys(re.findall(r'Verdict\(False, "(\w+)"', FILTER), "blocked")
    assert dict(rows) == fates
    assert len(rows) == len(fates)


def test_the_priorities_are_the_true_ones() -> None:
    reactions = Reactions([])
    rows = re.findall(r"^\| (`.+?`) \| ([\d.]+)", section("Stream events"), re.MULTILINE)
    told = {kind: float(points) for kinds, points in rows for kind in re.findall(r"\w+", kinds)}
    assert told == {
        kind: reactions.points(StreamEvent(id="1", channel="c", ts=0, user="u", kind=kind))
        for kind in ("raid", "gift", "sub", "resub", "cheer", "follow", "other")
    }
