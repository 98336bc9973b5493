"""The whole loop, as `make learn-demo` shows it: every goal is met."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.learn_demo import weeks
from scripts.learn_demo.report import BEGIN, END, renew
from scripts.learn_demo.weeks import Week
from scripts.learn_demo.world import World

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENT = ROOT / "docs" / "learning.md"
SECONDS = 900
"""Far more than it takes, on a machine that does other things as well."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a show printed, in a process of its own as `make learn-demo` has it."""
    pytest.importorskip("peft", reason="the extra understudy[train] is not installed")
    folder = tmp_path_factory.mktemp("learn-demo")
    command = [sys.executable, "-m", "scripts.learn_demo", "--json", "--keep", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=SECONDS, check=False)
    assert done.stdout, done.stderr.decode()
    printed = json.loads(done.stdout)
    missed = [goal for goal in printed["goals"] if not goal["met"]]
    assert (missed, done.returncode) == ([], 0)
    return printed["figures"]


@pytest.mark.timeout(SECONDS)
def test_every_goal_is_met(shown: dict[str, Any]) -> None:
    good, attack = shown["first"]["attempts"][-1], shown["attack"]["night"]["attempts"][-1]
    gates = {v["gate"]: v for v in good["report"]["verdicts"]}
    new, old = gates["G2"]["figures"]["new_time"], gates["G3"]["figures"]["old"]
    assert new["new"] <= 0.5 * new["old"]
    assert old["new"] <= 1.02 * old["old"]
    assert gates["G5"]["skipped"] is True
    assert attack["report"]["passed"] is False
    # On its own week the poisoned version is better: no gate but those of older rows sees it.
    assert next(v for v in attack["report"]["verdicts"] if v["gate"] == "G2")["passed"] is True
    assert shown["attack"]["refusal"].startswith(f"version {attack['version']} did not pass")
    assert shown["attack"]["raid_votes"][1] == 0
    assert shown["attack"]["taught"] > 100
    assert shown["way_back"]["same"] == shown["way_back"]["asked"] > 0


def test_a_seed_gives_one_channel() -> None:
    def said(seed: int) -> list[weeks.Spoken]:
        world = World(seed)
        week = Week(number=1, game=world.new, mix={"placed": 2, "plain": 1, "joke": 1})
        return [*weeks.usual(world, week, seed), *weeks.patient_attack(world, week, seed)]

    assert said(1) == said(1) != said(2)


def test_who_votes_never_asks_and_only_the_right_place_is_liked() -> None:
    world = World(1)
    week = Week(number=1, game=world.new, mix={"placed": 2, "plain": 1, "joke": 1})
    spoken = list(weeks.usual(world, week, 1))
    assert not {each.asker for each in spoken} & {name for each in spoken for name in each.voters}
    for each in spoken:
        exchange = each.exchange
        assert world.is_liked(exchange.reply, exchange.thing) is (exchange.kind == "placed")
        assert not each.voters or (each.vote > 0) is (exchange.kind == "placed")


def test_figures_are_put_between_their_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    renew(page, "new")
    assert page.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    page.write_text("without\n")
    with pytest.raises(ValueError, match=r"page\.md has no <!-- learn-demo -->"):
        renew(page, "new")


def test_the_document_holds_a_run() -> None:
    _, _, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
    figures, end, _ = rest.partition(END)
    assert end
    assert "images/learn-demo.svg" in figures
    assert "stopped by" in figures
