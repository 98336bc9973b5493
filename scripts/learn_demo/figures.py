"""What came of the show, and whether that was what it had to.

Owns the goals. Does not own how they are printed (`report`).
"""

from typing import Any

import msgspec

from scripts.learn_demo.nights import Attempt, Night
from scripts.learn_demo.service import RolledBack, TriedOut
from understudy.learning.gates.verdict import passed

FALL, RISE = -0.5, 0.02
"""The loss on a new week changes by at most the first, on older ones by at most the second."""


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an attack; votes are (all, those that count)."""

    night: Night
    raid_votes: tuple[int, int]
    patient_votes: tuple[int, int]
    taught: int
    """Exchanges of the attackers that the last poisoned version was trained on."""
    refusal: str
    """Why the poisoned version cannot be promoted."""

    @property
    def curated(self) -> dict[str, int]:
        """Exchanges that were left out of the poisoned dataset, by reasons of attacks."""
        report = self.night.attempts[0].manifest.report
        reasons = ("raid", "attack", "removed", "viewer_share")
        return {reason: report[reason] for reason in reasons if reason in report}

    @property
    def gates(self) -> dict[str, str]:
        """The gates that stopped the last poisoned version, with what they said."""
        verdicts = self.night.last.report.verdicts
        return {v.gate: v.sentence for v in verdicts if not passed([v])}


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that came of one show."""

    seed: int
    parameters: int
    first: Night
    first_tried: TriedOut
    attack: Attack
    second: Night
    second_tried: TriedOut
    way_back: RolledBack | None
    """None when there was no newer version to come back from."""


class Goal(msgspec.Struct, frozen=True):
    """One line of the table: what was looked at, the figure, what it must be, whether it is."""

    name: str
    figure: str
    goal: str
    met: bool


def goals(figures: Figures) -> list[Goal]:
    """Every goal of the show."""
    return [
        _fall(figures.first.last),
        *_good_night("first good week", figures.first, figures.first_tried),
        *_attack(figures.attack),
        *_good_night("second good week", figures.second, figures.second_tried),
        *_way_back(figures.way_back, figures.first.last.version),
    ]


def _fall(attempt: Attempt) -> Goal:
    moved = _moved(attempt, "new_time")
    met = attempt.change("new_time") <= FALL
    return Goal("first good week: loss on the new week", moved, f"{FALL:+.0%} or less", met)


def _good_night(name: str, night: Night, tried: TriedOut) -> list[Goal]:
    attempt = night.last
    failed = [v.gate for v in attempt.report.verdicts if not passed([v])]
    return [
        Goal(
            f"{name}: loss on older weeks",
            _moved(attempt, "old"),
            f"{RISE:+.0%} at most",
            attempt.change("old") <= RISE,
        ),
        Goal(
            f"{name}: gates of {attempt.version}",
            ", ".join(failed) or "passed",
            "passed",
            not failed,
        ),
        Goal(
            f"{name}: canary",
            f"{tried.action} after {tried.replies} replies",
            "promote",
            tried.action == "promote",
        ),
    ]


def _attack(attack: Attack) -> list[Goal]:
    all_votes, counting = attack.raid_votes
    caught = ", ".join(f"{reason} {count}" for reason, count in attack.curated.items())
    gates = ", ".join(attack.gates)
    return [
        Goal(
            "raid: votes of newcomers that count", f"{counting} of {all_votes}", "0", not counting
        ),
        Goal(
            "attack: left out by curation",
            caught,
            "raid, attack, removed, viewer_share",
            len(attack.curated) == 4,
        ),
        Goal(f"attack: {attack.night.last.version} stopped by", gates, "a gate", bool(gates)),
        Goal(
            "attack: promoted by hand",
            "refused" if attack.refusal else "promoted",
            "refused",
            bool(attack.refusal),
        ),
    ]


def _way_back(way: RolledBack | None, to: str) -> list[Goal]:
    if way is None:
        return [Goal(f"way back to {to}", "nothing to come back from", "same answers", met=False)]
    return [
        Goal(
            f"way back to {way.to}: same answers",
            f"{way.same} of {way.asked}, byte by byte",
            "all",
            way.same == way.asked and way.to == to,
        ),
        Goal(
            "way back: the newer version said otherwise",
            f"{way.changed} of {way.asked}",
            "1 or more",
            way.changed > 0,
        ),
        Goal(
            "way back: the reply under way",
            "ended as it would have" if way.whole else "was changed",
            "ended as it would have",
            way.whole,
        ),
    ]


def _moved(attempt: Attempt, rows: str) -> str:
    before, after = attempt.losses(rows)
    return f"{before:.3f} to {after:.3f} ({attempt.change(rows):+.1%})"


def as_json(figures: Figures) -> dict[str, Any]:
    """The figures and goals for machines, without the steps of the trainings."""
    builtins = msgspec.to_builtins(figures)
    for night in (builtins["first"], builtins["attack"]["night"], builtins["second"]):
        for attempt in night["attempts"]:
            del attempt["steps"]
    return {"goals": msgspec.to_builtins(goals(figures)), "figures": builtins}
