import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.learning.datasets.duplicates import signature
from understudy.learning.datasets.splits import Splits, conversation_of, split_of
from understudy.storage.examples import ExampleRow
from understudy.storage.rows import ExperienceRow

SUBJECTS = [
    "what is your favourite level in this game", "tell me a story about the sea and the ship",
    "why does the boss always win against us", "how do you like your coffee in the morning",
]  # fmt: skip
ENDINGS = ["", "!", " ok", "?? 12"]
ROWS = [
    (f"row-{number}", f"conversation-{number % 23}", f"{subject} {number % 3 * 'really '}", ending)
    for number, (subject, ending) in enumerate(
        (subject, ending) for subject in SUBJECTS for ending in ENDINGS for _ in range(4)
    )
]


def row(**changes: object) -> ExperienceRow:
    fields: dict = {
        "id": "e", "ts": 7_200_500, "channel": "", "session": "s", "user": "u", "persona": "p",
        "model": "m", "prompt_messages": [], "prompt_text": "", "response": "",
        "status": "complete",
    }  # fmt: skip
    return ExperienceRow(**{**fields, **changes})


class Stored:
    """The table `example`, and a process that may be started anew at any time."""

    def __init__(self) -> None:
        self.rows: dict[str, ExampleRow] = {}
        self.restart()

    def restart(self) -> None:
        groups = sorted({(row.duplicates, row.split) for row in self.rows.values()})
        self.splits = Splits(groups)

    def see(self, id: str, conversation: str, prompt: str, reply: str) -> tuple[str, bool]:
        if id in self.rows:
            place = self.splits.place_again(conversation, self.rows[id])
        else:
            place = self.splits.place(conversation, signature(prompt, reply))
            self.rows[id] = ExampleRow(
                id=id, channel="", session=conversation, ts=0, duplicates=place.group,
                split=place.split,
            )  # fmt: skip
        return place.split, place.usable


@settings(deadline=None, max_examples=50)
@given(st.randoms(use_true_random=False))
def test_whatever_the_order_no_row_changes_sides_and_no_group_is_on_both(
    rng: random.Random,
) -> None:
    stored = Stored()
    first: dict[str, tuple[str, bool]] = {}
    for _ in range(3):
        for seen in rng.sample(ROWS, rng.randint(1, len(ROWS))):
            place = stored.see(*seen)
            assert first.setdefault(seen[0], place) == place
            if rng.random() < 0.1:
                stored.restart()
    sides: dict[str, set[str]] = defaultdict(set)
    conversations: dict[str, set[str]] = defaultdict(set)
    for example in stored.rows.values():
        sides[example.duplicates].add(example.split)
        split, usable = first[example.id]
        if usable:
            conversations[example.session].add(split)
    assert all(len(found) == 1 for found in sides.values())
    assert all(len(found) == 1 for found in conversations.values())


def held_out() -> str:
    return next(name for name in map(str, range(100)) if split_of(name) == "val")


def trained_on() -> str:
    return next(name for name in map(str, range(100)) if split_of(name) == "train")


def test_a_copy_of_what_is_held_out_is_used_nowhere() -> None:
    splits = Splits()
    text = signature("what is this song", "It is the harbour theme.")
    assert splits.place(held_out(), text).split == "val"
    copy = splits.place(trained_on(), text)
    assert (copy.split, copy.usable) == ("val", False)


def test_anchors_keep_exchanges_like_them_out() -> None:
    splits = Splits()
    text = signature("hi", "Hello, good to have you here!")
    anchor = splits.place_anchor(True, text)
    assert (anchor.split, anchor.usable) == ("anchor", True)
    assert not splits.place(trained_on(), text).usable
    assert not splits.place(held_out(), text).usable


def test_an_anchor_like_something_trained_on_is_trained_on() -> None:
    splits = Splits()
    text = signature("hi", "Hello, good to have you here!")
    splits.place(trained_on(), text)
    assert splits.place_anchor(True, text).split == "train"


def test_names_that_are_no_groups_are_ignored() -> None:
    assert Splits([("no group", "val")]).place(trained_on(), bytes(32)).usable


@pytest.mark.parametrize(
    ("changes", "conversation"),
    [
        ({}, "s"),
        ({"session": ""}, "e"),
        ({"channel": "alice", "session": "channel_alice"}, "channel_alice@2"),
    ],
)
def test_a_channel_is_cut_into_hours(changes: dict, conversation: str) -> None:
    assert conversation_of(row(**changes)) == conversation
