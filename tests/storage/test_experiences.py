"""Experiences, their feedback and the search for similar ones, in SQLite and PostgreSQL."""

import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from understudy.storage import experiences as experiences_module
from understudy.storage.engine import Database
from understudy.storage.experiences import (
    Experiences,
    RatedAnswer,
    RatedExperience,
    fts5_query,
    search_terms,
)
from understudy.storage.rows import ExperienceRow, FeedbackRow

Log = Callable[..., Awaitable[None]]


def exchange(number: int, prompt: str = "hi", **fields: Any) -> ExperienceRow:
    values: dict[str, Any] = {
        "ts": number,
        "channel": "ada",
        "session": "s1",
        "user": "kim",
        "persona": "host",
        "model": "scripted",
        "prompt_messages": [{"role": "user", "content": prompt}],
        "response": f"answer {number}",
        "status": "complete",
        **fields,
    }
    return ExperienceRow(id=f"e{number}", prompt_text=prompt, **values)


def thumbs(number: int, experience: int, value: float = 1.0) -> FeedbackRow:
    return FeedbackRow(
        id=f"f{number}", experience=f"e{experience}", ts=number, kind="thumbs", value=value
    )


async def test_an_experience_comes_back_as_it_was_logged(any_database: Database, log: Log) -> None:
    row = exchange(
        1,
        "What's “up”? \U0001f600",
        in_reply_to="m1",
        context_account=[{"name": "persona", "tokens": 12, "included": True, "why": None}],
        first_token_ms=120,
        total_ms=900,
        origin="stream",
        status="stopped",
        provider="claude",
        input_tokens=1_200,
        output_tokens=80,
        cached_tokens=0,
        cost_micros=3_000_000_000,
    )
    await log(row, exchange(2))
    experiences = Experiences(any_database)
    found = await experiences.get("e1")
    assert isinstance(found, RatedExperience)
    assert {name: getattr(found, name) for name in row.__struct_fields__} == {
        name: getattr(row, name) for name in row.__struct_fields__
    }
    assert found.rating == 0
    plain = await experiences.get("e2")
    assert plain is not None
    assert (plain.context_account, plain.first_token_ms) == (None, None)
    assert (plain.provider, plain.input_tokens, plain.cost_micros) == ("", None, None)
    assert await experiences.get("e3\x00") is None


async def test_the_rating_is_the_sum_of_the_feedback(any_database: Database, log: Log) -> None:
    experiences = Experiences(any_database)
    await log(exchange(1))
    for number, value in enumerate([1.0, 1.0, -0.5]):
        await experiences.add_feedback(thumbs(number, 1, value))
    found = await experiences.get("e1")
    assert found is not None
    assert found.rating == 1.5


async def test_feedback_is_stored_once_per_id_and_listed_in_order(any_database: Database) -> None:
    experiences = Experiences(any_database)
    later = FeedbackRow(
        id="f2", experience="e1", ts=2, kind="thumbs", value=-1.0, by="kim", note="rude\x00"
    )
    await experiences.add_feedback(later)
    await experiences.add_feedback(thumbs(1, 1))
    await experiences.add_feedback(thumbs(1, 1, value=99.0))
    listed = await experiences.feedback("e1")
    assert [(row.id, row.value) for row in listed] == [("f1", 1.0), ("f2", -1.0)]
    assert (listed[1].by, listed[1].note) == ("kim", "rude\ufffd")
    assert await experiences.feedback("e2") == []


async def test_similar_finds_the_best_rated_answers(any_database: Database, log: Log) -> None:
    await log(
        exchange(1, "What game is this?"),
        exchange(2, "which GAME do you play, what is it"),
        exchange(3, "How tall are you?"),
        exchange(4, "what game was that"),
        exchange(5, "what game is it now"),
        *[thumbs(1, 1), thumbs(2, 2), thumbs(3, 2), thumbs(4, 3), thumbs(5, 5, -1.0)],
    )
    found = await Experiences(any_database).similar("what game is it?")
    assert found == [
        RatedAnswer(
            prompt="which GAME do you play, what is it",
            response="answer 2",
            rating=2.0,
            experience="e2",
            likeness=2 / 3,
        ),
        RatedAnswer(
            prompt="What game is this?",
            response="answer 1",
            rating=1.0,
            experience="e1",
            likeness=0.75,
        ),
    ]


async def test_equal_answers_are_in_order_of_ids(any_database: Database, log: Log) -> None:
    for number in (3, 1, 2):
        await log(exchange(number, "same words"), thumbs(number, number))
    found = await Experiences(any_database).similar("same words", limit=2)
    assert [answer.experience for answer in found] == ["e1", "e2"]


async def test_similar_keeps_to_persona_and_channel(any_database: Database, log: Log) -> None:
    await log(
        exchange(1, "same words", persona="pirate"),
        exchange(2, "same words", channel="bob"),
        *[thumbs(1, 1), thumbs(2, 2)],
    )
    similar = Experiences(any_database).similar
    assert [a.experience for a in await similar("same", persona="pirate")] == ["e1"]
    assert [a.experience for a in await similar("same", channel="bob")] == ["e2"]
    assert await similar("same", persona="pirate", channel="bob") == []
    assert len(await similar("same")) == 2


async def test_a_broken_off_answer_is_no_example(any_database: Database, log: Log) -> None:
    await log(exchange(1, "same words", status="stopped"), thumbs(1, 1))
    assert await Experiences(any_database).similar("same words") == []


async def test_a_shared_common_word_does_not_make_an_answer_similar(
    any_database: Database, log: Log
) -> None:
    await log(
        exchange(1, "the weather in the north is cold today"),
        exchange(2, "the best boss fight of the game"),
        *[thumbs(1, 1), thumbs(2, 2), thumbs(3, 1)],
    )
    found = await Experiences(any_database).similar("the best boss fight")
    assert [answer.experience for answer in found] == ["e2"]


async def test_nothing_is_similar_to_nothing(any_database: Database, log: Log) -> None:
    await log(exchange(1, "same words"), thumbs(1, 1))
    experiences = Experiences(any_database)
    for text in ["", "   ", "!?", "\x00", "x" * 65, "nothing like it"]:
        assert await experiences.similar(text) == []
    assert await experiences.similar("same words", limit=0) == []


HOSTILE = [
    *('"', '""', "'", "\\", "a\\'b", 'a"b', "a' | 'b", 'a" OR "b', "a* OR b", "NEAR(a b)", "{x}:a"),
    *("prompt_text:a", "a AND NOT b", "a & !b", "a:*", "a <-> b", "-a", "^a", "(a", "a)", "b\x00c"),
    *(
        "a\ud800b",
        "\u0301a",
        "a\u2028b",
        "%s",
        ":x a",
        "https://a.b/c?d=e&f='g'",
        "a@b.c",
        "日本語",
    ),
]


async def test_syntax_in_a_message_is_just_text(any_database: Database, log: Log) -> None:
    await log(exchange(1, "same words"), thumbs(1, 1))
    experiences = Experiences(any_database)
    for text in HOSTILE:
        assert await experiences.similar(text) == [], text
        assert len(await experiences.similar(f"{text} words")) == 1, text


async def test_a_word_with_punctuation_matches_as_it_was_written(
    any_database: Database, log: Log
) -> None:
    prompts = ["c++", "don't", "naïve", "foo-bar", "日本語", "it's_me", "3.14", "me@b.net", "\\o/"]
    for number, prompt in enumerate(prompts):
        await log(exchange(number, prompt), thumbs(number, number))
    for number, prompt in enumerate(prompts):
        found = await Experiences(any_database).similar(prompt.upper() + ",")
        assert [answer.experience for answer in found] == [f"e{number}"], prompt


@pytest.fixture(scope="module")
def fts5() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE answers USING fts5(prompt_text)")
    connection.execute("INSERT INTO answers VALUES ('one two three')")
    yield connection
    connection.close()


@given(
    text=st.text(st.characters(), max_size=300) | st.lists(st.sampled_from(HOSTILE)).map(" ".join)
)
def test_no_text_breaks_the_fts5_query(fts5: sqlite3.Connection, text: str) -> None:
    terms = search_terms(text)
    assert len(terms) <= experiences_module.SEARCH_TERMS
    if not terms:
        return
    matched = fts5.execute("SELECT 1 FROM answers WHERE answers MATCH ?", [fts5_query(terms)])
    # Whatever the text, it matches as words do and in no other way.
    if matched.fetchall():
        assert any(word in text.lower() for word in ("one", "two", "three"))
    everything = fts5.execute(
        "SELECT 1 FROM answers WHERE answers MATCH ?", [fts5_query([*terms[:31], "two"])]
    )
    assert everything.fetchall() == [(1,)]


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    text=st.text(st.characters(), max_size=300) | st.lists(st.sampled_from(HOSTILE)).map(" ".join)
)
async def test_no_text_breaks_the_search(any_database: Database, text: str) -> None:
    assert await Experiences(any_database).similar(text) == []


async def test_iteration_is_in_order_of_time_then_id_over_chunks(
    any_database: Database, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiences_module, "CHUNK", 2)
    await log(
        *[exchange(n, ts=n // 3, channel="bob" if n == 4 else "ada") for n in (6, 2, 4, 3, 5)]
    )
    await log(thumbs(1, 3))
    experiences = Experiences(any_database)
    found = [(row.id, row.rating) async for row in experiences.iterate()]
    assert found == [("e2", 0.0), ("e3", 1.0), ("e4", 0.0), ("e5", 0.0), ("e6", 0.0)]
    assert [row.id async for row in experiences.iterate("ada", since=1)] == ["e3", "e5", "e6"]
    assert [row.id async for row in experiences.iterate("ada", since=9)] == []
