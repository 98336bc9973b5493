"""Former exchanges: how they were judged, and which of them resemble a new message.

Owns the table `feedback`, reading `experience` (which `storage.log_writer` fills), and full-text
search over it: FTS5 with BM25 on SQLite, tsvector with ts_rank on PostgreSQL. Does not own what
is learned from them (`learning`).
"""

import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Text,
    column,
    func,
    literal_column,
    select,
    table,
    tuple_,
)

from understudy.storage.engine import Database, Dialect
from understudy.storage.rows import ExperienceRow, FeedbackRow
from understudy.storage.tables import experience, feedback
from understudy.storage.upsert import insert, storable

CHUNK = 200
"""Experiences an iterator reads at a time."""
CANDIDATES = 50
"""Rated answers compared in one search."""
SIMILAR_ENOUGH = 0.5
"""A message is similar when it is alike to this share of the most alike one: among good matches,
a shared `the` is none. BM25 is no measure for that: its scale hangs on how much is stored."""
SEARCH_TERMS = 32
TERM_LENGTH = 64

_WORD = re.compile(r"\w+")


class RatedExperience(ExperienceRow, frozen=True, kw_only=True):
    """An experience with the weighted sum of its feedback's values; 0 when nobody judged it."""

    rating: float = 0.0


class RatedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A well received answer and the message it answered; `experience` is its id."""

    prompt: str
    response: str
    rating: float
    experience: str


class Experiences:
    """Reads, judges and searches experiences."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, experience_id: str) -> RatedExperience | None:
        """The experience with this id (the id of its run), or None."""
        statement = _rated().where(experience.c.id == storable(experience_id))
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else _experience(row)

    async def add_feedback(self, row: FeedbackRow) -> None:
        """Store a judgement; one with this id that is already there stays as it is."""
        values = {
            "id": storable(row.id),
            "experience_id": storable(row.experience),
            "ts": row.ts,
            "kind": storable(row.kind),
            "value": row.value,
            "by_user": storable(row.by),
            "note": storable(row.note),
            "source": row.source,
            "weight": row.weight,
            "text": storable(row.text),
        }
        statement = insert(self._database.dialect, feedback).values(values)
        async with self._database.write() as connection:
            await connection.execute(statement.on_conflict_do_nothing())

    async def feedback(self, experience_id: str) -> list[FeedbackRow]:
        """The judgements of an experience, oldest first."""
        statement = (
            select(feedback)
            .where(feedback.c.experience_id == storable(experience_id))
            .order_by(feedback.c.ts, feedback.c.id)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        return [_feedback(row) for row in rows]

    async def similar(
        self, text: str, *, persona: str | None = None, channel: str | None = None, limit: int = 5
    ) -> list[RatedAnswer]:
        """Whole answers rated above 0 to messages like `text`, best-rated first.

        Equal ratings are in order of the search score, then of their ids.
        """
        terms = search_terms(text)
        if not terms or limit < 1:
            return []
        statement = search_statement(self._database.dialect, terms)
        if persona is not None:
            statement = statement.where(experience.c.persona == storable(persona))
        if channel is not None:
            statement = statement.where(experience.c.channel == storable(channel))
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        alike = [_likeness(text, row.prompt_text) for row in rows]
        enough = SIMILAR_ENOUGH * max(alike, default=0.0)
        similar = [row for row, likeness in zip(rows, alike, strict=True) if likeness >= enough]
        similar.sort(key=lambda row: -row.rating)
        return [
            RatedAnswer(
                prompt=row.prompt_text, response=row.response, rating=row.rating, experience=row.id
            )
            for row in similar[:limit]
        ]

    async def iterate(
        self, channel: str | None = None, since: int = 0
    ) -> AsyncIterator[RatedExperience]:
        """All experiences from `since` (ms) on in order of `(ts, id)`, read a chunk at a time.

        No transaction stays open between chunks, so a slow reader holds up nobody.
        """
        statement = _rated().order_by(experience.c.ts, experience.c.id).limit(CHUNK)
        if channel is not None:
            statement = statement.where(experience.c.channel == storable(channel))
        place = tuple_(experience.c.ts, experience.c.id)
        beyond: ColumnElement[bool] = experience.c.ts >= since
        while True:
            async with self._database.read() as connection:
                rows = (await connection.execute(statement.where(beyond))).all()
            for row in rows:
                yield _experience(row)
            if len(rows) < CHUNK:
                return
            beyond = place > (rows[-1].ts, rows[-1].id)


def search_terms(text: str) -> list[str]:
    """The distinct words of `text`, at most 32, as they stand: not yet safe in a query."""
    words = storable(text).lower().split()
    usable = (w for w in words if len(w) <= TERM_LENGTH and any(map(str.isalnum, w)))
    return list(dict.fromkeys(usable))[:SEARCH_TERMS]


def fts5_query(terms: list[str]) -> str:
    """An FTS5 query for any of `terms`: each a quoted string, inside which nothing is syntax.

    https://www.sqlite.org/fts5.html#full_text_query_syntax
    """
    return " OR ".join('"' + term.replace('"', '""') + '"' for term in terms)


def tsquery(terms: list[str]) -> str:
    """A `to_tsquery` text for any of `terms`: each quoted, inside which nothing is syntax.

    https://www.postgresql.org/docs/current/datatype-textsearch.html#DATATYPE-TSQUERY
    """
    quoted = (term.replace("\\", "\\\\").replace("'", "''") for term in terms)
    return " | ".join(f"'{term}'" for term in quoted)


def search_statement(dialect: Dialect, terms: list[str]) -> "Select[*tuple[Any, ...]]":
    """The best matches among whole answers rated above 0, with their `score`, higher is closer."""
    total = func.sum(feedback.c.value * feedback.c.weight)
    rated = (
        select(feedback.c.experience_id, total.label("rating"))
        .group_by(feedback.c.experience_id)
        .having(total > 0)
        .subquery("rated")
    )
    source = experience.join(rated, rated.c.experience_id == experience.c.id)
    found: ColumnElement[bool]
    score: ColumnElement[float]
    if dialect == "sqlite":
        index = table("experience_fts", column("rowid"))
        source = source.join(index, index.c.rowid == experience.c.seq)
        name = literal_column("experience_fts", Text)
        found = name.op("MATCH")(fts5_query(terms))
        score = -func.bm25(name)
    else:
        simple = literal_column("'simple'::regconfig", Text)
        document = func.to_tsvector(simple, experience.c.prompt_text)
        query = func.to_tsquery(simple, tsquery(terms))
        found = document.op("@@")(query)
        score = func.ts_rank(document, query)
    return (
        select(
            experience.c.id,
            experience.c.prompt_text,
            experience.c.response,
            rated.c.rating,
            score.label("score"),
        )
        .select_from(source)
        .where(found, experience.c.status == "complete")
        .order_by(score.desc(), experience.c.id)
        .limit(CANDIDATES)
    )


def _likeness(one: str, other: str) -> float:
    """The share of words two texts have in common, 0 to 1 (the Sørensen-Dice coefficient)."""
    words, others = set(_WORD.findall(one.casefold())), set(_WORD.findall(other.casefold()))
    return 2 * len(words & others) / (len(words) + len(others) or 1)


def _rated() -> "Select[*tuple[Any, ...]]":
    rating = (
        select(func.coalesce(func.sum(feedback.c.value * feedback.c.weight), 0.0))
        .where(feedback.c.experience_id == experience.c.id)
        .scalar_subquery()
    )
    return select(experience, rating.label("rating"))


def _experience(row: Row[Any]) -> RatedExperience:
    return RatedExperience(
        id=row.id,
        ts=row.ts,
        channel=row.channel,
        session=row.session_id,
        user=row.user_id,
        persona=row.persona,
        model=row.model,
        prompt_messages=msgspec.json.decode(row.prompt_messages, type=list[dict[str, str]]),
        prompt_text=row.prompt_text,
        response=row.response,
        status=row.status,
        in_reply_to=row.in_reply_to,
        context_account=msgspec.json.decode(row.context_account),
        first_token_ms=row.first_token_ms,
        total_ms=row.total_ms,
        origin=row.origin,
        provider=row.provider,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cached_tokens=row.cached_tokens,
        cost_micros=row.cost_micros,
        version=row.version,
        config_hash=row.config_hash,
        events=row.events,
        rating=row.rating,
    )


def _feedback(row: Row[Any]) -> FeedbackRow:
    return FeedbackRow(
        id=row.id,
        experience=row.experience_id,
        ts=row.ts,
        kind=row.kind,
        value=row.value,
        by=row.by_user,
        note=row.note,
        source=row.source,
        weight=row.weight,
        text=row.text,
    )
