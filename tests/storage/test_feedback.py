"""Which rows of feedback count, and what they add up to."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.storage.engine import Database
from understudy.storage.experiences import Experiences
from understudy.storage.feedback import FeedbackRows, Verdict, standing, verdict
from understudy.storage.rows import ExperienceRow, FeedbackRow


def row(number: int, **fields: Any) -> FeedbackRow:
    values = {"experience": "e1", "ts": number, "kind": "thumb", "value": 1.0, "by": "kim"}
    return FeedbackRow(id=f"f{number:03}", **(values | fields))


ROWS = st.builds(
    row,
    st.integers(0, 999),
    kind=st.sampled_from(["thumb", "edit", "note", "safety"]),
    value=st.sampled_from([1.0, -1.0, 0.0]),
    by=st.sampled_from(["", "kim", "lee"]),
    source=st.sampled_from(["viewer", "streamer"]),
    text=st.sampled_from(["", "better"]),
)


@given(st.lists(ROWS, max_size=12, unique_by=lambda row: row.id), st.randoms())
def test_the_order_of_rows_changes_nothing(rows: list[FeedbackRow], random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert standing(shuffled) == standing(rows)
    assert verdict(shuffled) == verdict(rows)


@given(st.lists(ROWS, max_size=12, unique_by=lambda row: row.id))
def test_a_person_says_one_thing_of_each_kind(rows: list[FeedbackRow]) -> None:
    counting = standing(rows)
    said = [(row.kind, row.by, row.source) for row in counting if row.by]
    assert len(said) == len(set(said))
    assert all(row.value for row in counting)
    assert standing(counting) == counting


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], Verdict()),
        ([row(1), row(2, value=-1.0)], Verdict(rating=-1.0)),
        ([row(1), row(2, value=0.0)], Verdict()),
        ([row(1, kind="thumbs"), row(2, value=-1.0)], Verdict(rating=-1.0)),
        ([row(1, by=""), row(2, by="")], Verdict(rating=2.0)),
        ([row(1), row(2, source="viewer")], Verdict(rating=2.0)),
        ([row(1, kind="safety", value=-1.0)], Verdict(blocked=True)),
        ([row(1, kind="safety", value=-1.0), row(2, kind="safety", value=0.0)], Verdict()),
        (
            [row(1, value=-1.0, weight=5.0), row(2, kind="edit", text="Hi!", weight=5.0)],
            Verdict(rating=-5.0, correction="Hi!", correction_weight=5.0),
        ),
        ([row(1, kind="note"), row(2, kind="rank", text='["a","b"]')], Verdict()),
    ],
)
def test_what_feedback_adds_up_to(rows: list[FeedbackRow], expected: Verdict) -> None:
    assert verdict(rows) == expected


@given(st.lists(st.sampled_from([1.0, -1.0]), max_size=40))
def test_viewers_weigh_no_more_than_the_streamer(values: list[float]) -> None:
    rows = [row(n, by=f"v{n}", source="viewer", value=value) for n, value in enumerate(values)]
    assert -5.0 <= verdict(rows).rating <= 5.0
    mine = row(99, by="me", source="streamer", weight=5.0, value=-1.0)
    assert verdict([*rows, mine]).rating <= 0


def exchange(number: int, **fields: Any) -> ExperienceRow:
    values: dict[str, Any] = {
        "ts": number,
        "channel": "ada",
        "session": "s1",
        "user": "kim",
        "persona": "host",
        "model": "m",
        "prompt_messages": [],
        "prompt_text": "same words",
        "response": f"answer {number}",
        "status": "complete",
    }
    return ExperienceRow(id=f"e{number}", **(values | fields))


async def test_corrected_replies_come_back_before_liked_ones(
    any_database: Database, log: Any
) -> None:
    await log(
        *[exchange(n) for n in (1, 2, 3)],
        exchange(4, status="stopped"),
        row(1, experience="e1", weight=9.0),
        row(2, experience="e2", kind="edit", text="better", weight=5.0),
        row(3, experience="e2", value=-1.0, weight=5.0),
        row(4, experience="e3"),
        row(5, experience="e3", kind="safety", value=-1.0),
        row(6, experience="e4", kind="edit", text="whole", weight=1.0),
    )
    experiences = Experiences(any_database)
    found = await experiences.similar("same words")
    assert [(each.experience, each.response, each.corrected) for each in found] == [
        ("e4", "whole", True),
        ("e2", "better", True),
        ("e1", "answer 1", False),
    ]
    rated = {each.id: (each.rating, each.blocked) async for each in experiences.iterate()}
    assert rated["e2"] == (-5.0, False)
    assert rated["e3"] == (1.0, True)
    await log(row(7, experience="e2", kind="edit", value=0.0))
    assert [each.experience for each in await experiences.similar("same words")] == ["e4", "e1"]


async def test_rows_of_many_experiences_are_read_at_once(any_database: Database, log: Any) -> None:
    await log(*[row(n, experience=f"e{n // 2}") for n in range(20)])
    names = [f"e{n}" for n in itertools.chain(range(1_200), range(3))]
    found = await FeedbackRows(any_database).of(names)
    assert {name: len(rows) for name, rows in found.items()} == {f"e{n}": 2 for n in range(10)}
