"""Former exchanges: how they were judged, and which of them resemble a new message.

Owns reading `experience` (which `storage.log_writer` fills) and full-text search over it: FTS5 with
BM25 on SQLite, tsvector with ts_rank on PostgreSQL. Does not own by which rules feedback counts
(`storage.feedback`) nor what is learned from it (`learning`).
"""

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Row,
    Select,
    Text,
    column,
    exists,
    func,
    literal_column,
    or_,
    select,
    table,
    tuple_,
)

from understudy.storage.engine import Database, Dialect
from understudy.storage.feedback import FeedbackRows, Verdict, verdict
from understudy.storage.rows import ExperienceRow, FeedbackRow
from understudy.storage.tables import experience, feedback
from understudy.storage.upsert import insert, storable

CHUNK = 200
"""Experiences an iterator reads at a time."""
CANDIDATES = 100
"""Answers that somebody liked or corrected, compared in one search."""
SIMILAR_ENOUGH = 0.5
"""A message is similar when it is alike to this share of the most alike one: among good matches,
a shared `the` is none. BM25 is no measure for that: its scale hangs on how much is stored."""
SEARCH_TERMS = 32
TERM_LENGTH = 64

_WORD = re.compile(r"\w+")


class RatedExperience(ExperienceRow, frozen=True, kw_only=True):
    """An experience with what its feedback adds up to; a rating of 0 when nobody judged it.

    `correction` is a better reply that somebody wrote, else empty; a `blocked` one must not be
    learned from.
    """

    rating: float = 0.0
    blocked: bool = False
    correction: str = ""


class RatedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A well received answer and the message it answered; `experience` is its id.

    `response` is the better reply where somebody wrote one (`corrected`). `likeness` is the share
    of words that the message has in common with the one that was searched for, 0 to 1.
    """

    prompt: str
    response: str
    rating: float
    experience: str
    corrected: bool = False
    likeness: float = 1.0


class Experiences:
    """Reads, judges and searches experiences."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._feedback = FeedbackRows(database)

    async def get(self, experience_id: str) -> RatedExperience | None:
        """The experience with this id (the id of its run), or None."""
        statement = select(experience).where(experience.c.id == storable(experience_id))
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else (await self._rate([row]))[0]

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
        """Every row of feedback of an experience, oldest first; see `storage.feedback.standing`."""
        return await self._feedback.all(experience_id)

    async def similar(
        self, text: str, *, persona: str | None = None, channel: str | None = None, limit: int = 5
    ) -> list[RatedAnswer]:
        """Answers to messages like `text`: first corrected ones, then liked ones, best first.

        Liked are whole answers rated above 0; blocked ones are left out. Equal ones are in order
        of the search score, then of their ids.
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
        judged = await self._feedback.of([row.id for row in rows])
        found = [_answer(text, row, verdict(judged.get(row.id, ()))) for row in rows]
        answers = [answer for answer in found if answer is not None]
        enough = SIMILAR_ENOUGH * max((each.likeness for each in answers), default=0.0)
        similar = [answer for answer in answers if answer.likeness >= enough]
        similar.sort(key=lambda answer: (not answer.corrected, -answer.rating))
        return similar[:limit]

    async def iterate(
        self, channel: str | None = None, since: int = 0
    ) -> AsyncIterator[RatedExperience]:
        """All experiences from `since` (ms) on in order of `(ts, id)`, read a chunk at a time.

        No transaction stays open between chunks, so a slow reader holds up nobody.
        """
        statement = select(experience).order_by(experience.c.ts, experience.c.id).limit(CHUNK)
        if channel is not None:
            statement = statement.where(experience.c.channel == storable(channel))
        place = tuple_(experience.c.ts, experience.c.id)
        beyond: ColumnElement[bool] = experience.c.ts >= since
        while True:
            async with self._database.read() as connection:
                rows = (await connection.execute(statement.where(beyond))).all()
            for rated in await self._rate(rows):
                yield rated
            if len(rows) < CHUNK:
                return
            beyond = place > (rows[-1].ts, rows[-1].id)

    async def _rate(self, rows: Sequence[Row[Any]]) -> list[RatedExperience]:
        judged = await self._feedback.of([row.id for row in rows])
        return [_experience(row, verdict(judged.get(row.id, ()))) for row in rows]


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
    """The best matches among answers that somebody liked or corrected, best first.

    Whether they are liked on the whole is for `verdict` to say.
    """
    judged = exists().where(feedback.c.experience_id == experience.c.id, feedback.c.value > 0)
    edited = exists().where(feedback.c.experience_id == experience.c.id, feedback.c.kind == "edit")
    source: FromClause = experience
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
            experience.c.status,
        )
        .select_from(source)
        .where(found, judged, or_(experience.c.status == "complete", edited))
        .order_by(score.desc(), experience.c.id)
        .limit(CANDIDATES)
    )


def _answer(text: str, row: Row[Any], judged: Verdict) -> RatedAnswer | None:
    """The answer if it is worth giving again: corrected, or liked as it is, and not blocked."""
    liked = judged.rating > 0 and row.status == "complete"
    if judged.blocked or not (judged.correction or liked):
        return None
    return RatedAnswer(
        prompt=row.prompt_text,
        response=judged.correction or row.response,
        rating=judged.rating + judged.correction_weight,
        experience=row.id,
        corrected=bool(judged.correction),
        likeness=_likeness(text, row.prompt_text),
    )


def _likeness(one: str, other: str) -> float:
    """The share of words two texts have in common, 0 to 1 (the Sørensen-Dice coefficient)."""
    words, others = set(_WORD.findall(one.casefold())), set(_WORD.findall(other.casefold()))
    return 2 * len(words & others) / (len(words) + len(others) or 1)


def _experience(row: Row[Any], judged: Verdict) -> RatedExperience:
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
        rating=judged.rating,
        blocked=judged.blocked,
        correction=judged.correction,
    )
