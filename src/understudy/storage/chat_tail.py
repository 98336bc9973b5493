"""The chat log in the order it was stored, for copies of it that are kept elsewhere.

Owns following `chat_message` and `moderation` by their row ids, so that a reader finds what came
since it last looked, however old the messages themselves are: imports and rehearsals store old
ones late. Does not own the copies (`storage.mongo`) nor reading by time (`storage.chat_log`).
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, Select, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from understudy.storage.engine import Database
from understudy.storage.tables import channel as channel_table
from understudy.storage.tables import chat_message, moderation, viewer

StoredRow = Row[*tuple[Any, ...]]
CHUNK = 500
"""Removed messages that are found at a time."""


class TailPlace(msgspec.Struct, frozen=True):
    """How far a reader has come: row ids in `chat_message` and `moderation`, 0 at the start."""

    message: int = 0
    moderation: int = 0


class MessageKey(msgspec.Struct, frozen=True):
    """What names a message for ever, whatever row it lies in."""

    channel: str
    ts: int
    id: str


class TailMessage(msgspec.Struct, frozen=True):
    """A stored message; `user` is the login, `deleted` says that moderators have removed it."""

    row: int
    key: MessageKey
    user: str
    text: str
    deleted: bool


class Removal(msgspec.Struct, frozen=True):
    """A moderator's act; it removes messages of `channel_id` later than `since`, up to `ts`.

    `since` is the latest earlier act upon the same target, which removed the ones before it.
    """

    row: int
    channel_id: int
    channel: str
    ts: int
    kind: str
    message_id: str
    login: str
    since: int


class ChatTail:
    """Reads on from where a reader stopped. A reader has a tail of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._settled = TailPlace()
        # PostgreSQL: the end when it was last looked at, and who was writing then.
        self._awaited: tuple[TailPlace, frozenset[str]] | None = None

    async def end(self) -> TailPlace:
        """The newest rows of which no earlier one can appear any more.

        Writers take turns on SQLite. On PostgreSQL a row may be committed after one with a higher
        id, so the end is settled once all who were writing when it was seen have finished.
        """
        async with self._database.read() as connection:
            newest = await _newest(connection)
            if self._database.dialect == "sqlite":
                return newest
            # Looked at after the rows: whoever wrote a missing one is among them, or done.
            writing = await _writers(connection)
        if self._awaited is not None and not self._awaited[1] & writing:
            self._settled, self._awaited = self._awaited[0], None
        if not writing:
            self._settled = newest
        elif self._awaited is None:
            self._awaited = newest, writing
        return self._settled

    async def messages(self, after: int, until: int, limit: int) -> list[TailMessage]:
        """The next `limit` messages of the rows `after` < row <= `until`."""
        message = chat_message.c
        statement = (
            select(
                *(message.id, message.channel_id, message.ts, message.msg_id, message.text),
                channel_table.c.name.label("channel"),
                viewer.c.login,
            )
            .join(channel_table, channel_table.c.id == message.channel_id)
            .join(viewer, viewer.c.id == message.viewer_id)
            .where(message.id > after, message.id <= until)
            .order_by(message.id)
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
            acts = await _acts_upon(connection, rows)
        return [
            TailMessage(
                row.id,
                MessageKey(row.channel, row.ts, row.msg_id),
                row.login,
                row.text,
                acts.removed(row),
            )
            for row in rows
        ]

    async def removals(self, after: int, until: int, limit: int) -> list[Removal]:
        """The next `limit` moderators' acts of the rows `after` < row <= `until`."""
        act, earlier = moderation.c, moderation.alias("earlier")
        since = (
            select(func.coalesce(func.max(earlier.c.ts), 0))
            .where(
                earlier.c.channel_id == act.channel_id,
                earlier.c.id < act.id,
                earlier.c.ts <= act.ts,
                _same_target(act.kind, act.login, earlier),
            )
            .scalar_subquery()
        )
        statement = (
            select(moderation, channel_table.c.name.label("channel"), since.label("since"))
            .join(channel_table, channel_table.c.id == act.channel_id)
            .where(act.id > after, act.id <= until)
            .order_by(act.id)
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        names = ("id", "channel_id", "channel", "ts", "kind", "message_id", "login", "since")
        return [Removal(*(getattr(row, name) for name in names)) for row in rows]

    async def removed_by(self, act: Removal) -> AsyncGenerator[list[MessageKey]]:
        """The messages `act` removes, a chunk at a time; no transaction stays open between."""
        position = (0, "")
        while True:
            statement = _removed(act, position)
            async with self._database.read() as connection:
                rows = (await connection.execute(statement)).all()
            if rows:
                yield [MessageKey(act.channel, row.ts, row.msg_id) for row in rows]
            if len(rows) < CHUNK or act.kind == "delete":
                return
            position = (rows[-1].ts, rows[-1].msg_id)

    async def key_at(self, row: int) -> MessageKey | None:
        """The message in `row` of `chat_message`, if there is one."""
        message = chat_message.c
        statement = (
            select(channel_table.c.name, message.ts, message.msg_id)
            .join(channel_table, channel_table.c.id == message.channel_id)
            .where(message.id == row)
        )
        async with self._database.read() as connection:
            found = (await connection.execute(statement)).one_or_none()
        return None if found is None else MessageKey(*found)


class _Acts:
    """The acts that may have removed the messages of a page."""

    def __init__(self) -> None:
        self.deleted: set[tuple[int, str]] = set()
        self.silenced: dict[tuple[int, str], int] = {}
        self.cleared: defaultdict[int, int] = defaultdict(lambda: -1)

    def removed(self, row: StoredRow) -> bool:
        """Whether the message in `row` is removed."""
        until = max(
            self.silenced.get((row.channel_id, row.login), -1), self.cleared[row.channel_id]
        )
        return row.ts <= until or (row.channel_id, row.msg_id) in self.deleted


async def _acts_upon(connection: AsyncConnection, rows: Sequence[StoredRow]) -> _Acts:
    """The acts upon the messages in `rows` that are stored so far; later ones are removals."""
    acts = _Acts()
    if not rows:
        return acts
    act = moderation.c
    here = act.channel_id.in_({row.channel_id for row in rows})
    deletions = select(act.channel_id, act.message_id).where(
        here, act.kind == "delete", act.message_id.in_({row.msg_id for row in rows})
    )
    acts.deleted = {(row.channel_id, row.message_id) for row in await connection.execute(deletions)}
    last = func.max(act.ts).label("until")
    silences = (
        select(act.channel_id, act.kind, act.login, last)
        .where(here, act.ts >= min(row.ts for row in rows), act.kind != "delete")
        .group_by(act.channel_id, act.kind, act.login)
    )
    for row in await connection.execute(silences):
        if row.kind == "clear":
            acts.cleared[row.channel_id] = max(acts.cleared[row.channel_id], row.until)
        else:
            who = (row.channel_id, row.login)
            acts.silenced[who] = max(acts.silenced.get(who, -1), row.until)
    return acts


async def _newest(connection: AsyncConnection) -> TailPlace:
    statement = select(
        select(func.max(chat_message.c.id)).scalar_subquery(),
        select(func.max(moderation.c.id)).scalar_subquery(),
    )
    message, act = (await connection.execute(statement)).one()
    return TailPlace(message or 0, act or 0)


async def _writers(connection: AsyncConnection) -> frozenset[str]:
    """The virtual ids of PostgreSQL's transactions that write the log at this moment.

    They hold this lock from before they draw a row id until their rows can be seen.
    """
    statement = text(
        "SELECT DISTINCT virtualtransaction FROM pg_locks"
        " WHERE relation IN ('chat_message'::regclass, 'moderation'::regclass)"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND mode = 'RowExclusiveLock'"
    )
    found: Iterable[str] = (await connection.execute(statement)).scalars()
    return frozenset(found)


def _same_target(
    kind: ColumnElement[str], login: ColumnElement[str], earlier: Any
) -> ColumnElement[bool]:
    """Whether an earlier act removed a part of the same messages."""
    silences = ["timeout", "ban"]
    viewers = kind.in_(silences) & earlier.c.kind.in_(silences) & (earlier.c.login == login)
    return viewers | ((kind == "clear") & (earlier.c.kind == "clear"))


def _removed(act: Removal, position: tuple[int, str]) -> Select[*tuple[Any, ...]]:
    """The next messages that `act` removes, after `position`."""
    message = chat_message.c
    keys = select(message.ts, message.msg_id).where(message.channel_id == act.channel_id)
    if act.kind == "delete":
        # The index has the time before the id: deleted messages are found soon, from the newest.
        named = keys.where(message.msg_id == act.message_id)
        return named.order_by(message.ts.desc()).limit(1)
    keys = keys.where(
        message.ts >= act.since,
        message.ts <= act.ts,
        tuple_(message.ts, message.msg_id) > position,
    )
    if act.kind != "clear":
        keys = keys.join(viewer, viewer.c.id == message.viewer_id).where(
            viewer.c.login == act.login
        )
    return keys.order_by(message.ts, message.msg_id).limit(CHUNK)
