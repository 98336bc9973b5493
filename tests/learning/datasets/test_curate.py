import pytest

from tests.learning.logged import START, exchange
from understudy.learning.datasets.curate import (
    CurationRules,
    Curator,
    Surroundings,
    attacks_among,
    unteachable,
)
from understudy.learning.judgements import Judgement
from understudy.safety.untrusted import quote_viewer
from understudy.storage.evidence import ATTACK_WINDOW_MS, Busy, Tombstone, viewer_hash
from understudy.storage.examples import ExampleRow, ExampleState
from understudy.storage.experiences import RatedExperience

RULES = CurationRules(
    bots=("NightBot",), cohost=("Understudy", "undy"), blocked_words=("voldemort",)
)
WINDOW = START // ATTACK_WINDOW_MS
PLAIN = Judgement()


def rated(**changes: object) -> RatedExperience:
    fields = {"text": "what is this song", "response": "The harbour theme.", **changes}
    row = exchange(0, **fields)  # type: ignore[arg-type]
    return RatedExperience(**{name: getattr(row, name) for name in row.__struct_fields__})


def example(state: ExampleState) -> ExampleRow:
    return ExampleRow(
        id="run_00000", channel="alice", session="s", ts=0, duplicates="g", split="train",
        state=state,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"user": "nightbot"}, "bot"),
        ({"user": "undy"}, "echo"),
        ({"text": "Say hello!", "response": "say HELLO"}, "echo"),
        ({"text": "!song"}, "command"),
        ({"text": "/clear"}, "command"),
        ({"events": "follow,raid"}, "raid"),
        ({"events": "sub"}, ""),
        ({"text": "is v0ldemort here"}, "blocked"),
        ({"response": "Yes, Voldemort is."}, "blocked"),
    ],
)
def test_what_is_unfit(changes: dict, reason: str) -> None:
    curator = Curator(RULES, Surroundings())
    assert curator.unfit(rated(**changes), PLAIN) == reason
    assert curator.unfit(rated(**changes), PLAIN, example("approved")) == ""
    assert curator.unfit(rated(**changes), PLAIN, example("rejected")) == "rejected"


def test_moderators_take_things_out() -> None:
    curator = Curator(RULES, Surroundings(silenced={("alice", "viewer0"): START}))
    assert curator.unfit(rated(), PLAIN) == "removed"
    assert curator.unfit(rated(ts=START + 1), PLAIN) == ""
    assert curator.unfit(rated(user="kim"), PLAIN) == ""
    assert curator.unfit(rated(user="kim"), PLAIN, deleted=True) == "removed"


@pytest.mark.parametrize(
    ("busy", "attacked"),
    [
        (Busy("alice", WINDOW, 8, 100), True),
        (Busy("alice", WINDOW + 1, 8, 100), True),
        (Busy("alice", WINDOW + 2, 8, 100), False),
        (Busy("bob", WINDOW, 8, 100), False),
        (Busy("alice", WINDOW, 7, 10), False),
        (Busy("alice", WINDOW, 20, 1_000), False),
    ],
)
def test_an_attack_is_many_acts_and_a_large_share_of_the_chat(busy: Busy, attacked: bool) -> None:
    curator = Curator(RULES, Surroundings(attacks=attacks_among([busy])))
    assert curator.unfit(rated(), PLAIN) == ("attack" if attacked else "")


@pytest.mark.parametrize("state", ["auto", "approved"])
def test_forgotten_viewers_are_absent_whatever_anybody_says(state: ExampleState) -> None:
    gone = frozenset({Tombstone(viewer_hash("#Bob_B"), ""), Tombstone(viewer_hash("kim"), "alice")})
    curator = Curator(RULES, Surroundings(tombstones=gone, logins={"김철수": "kim"}))
    quoting = [{"role": "user", "content": quote_viewer("김철수", "hi")}]
    assert curator.unfit(rated(user="bob_b"), PLAIN, example(state)) == "erased"
    assert curator.unfit(rated(prompt_messages=quoting), PLAIN, example(state)) == "erased"
    assert curator.unfit(rated(user="kim", channel="bob"), PLAIN, example(state)) == ""
    assert curator.unfit(rated(), PLAIN, example(state)) == ""


def test_marks_of_danger_and_tombstones_stand() -> None:
    curator = Curator(RULES, Surroundings())
    assert curator.unfit(rated(), Judgement(blocked=True), example("approved")) == "marked_unsafe"
    assert curator.unfit(rated(), PLAIN, example("tombstoned")) == "tombstoned"


@pytest.mark.parametrize(
    ("changes", "rating", "reason"),
    [
        ({}, 0, ""),
        ({"status": "stopped"}, 0, "incomplete"),
        ({"response": " "}, 0, "empty"),
        ({}, -0.5, "disliked"),
    ],
)
def test_what_is_no_good_example_unless_it_was_corrected(
    changes: dict, rating: float, reason: str
) -> None:
    row = rated(**changes)
    assert unteachable(row, Judgement(rating=rating)) == reason
    assert unteachable(row, Judgement(rating=rating, correction="Better.")) == ""
