"""What speaks against learning from exchanges: moderators' acts, and viewers who were forgotten.

Owns reading `moderation` and `erasure` for many exchanges at once. Does not own what follows from
them (`learning.curate`), nor what people made of replies (`storage.feedback`).
"""

import hashlib
from collections.abc import Sequence

import msgspec
from sqlalchemy import func, select

from understudy.storage.engine import Database
from understudy.storage.tables import channel as channel_table
from understudy.storage.tables import chat_message, erasure, moderation
from understudy.storage.upsert import storable

ATTACK_WINDOW_MS = 600_000


class Tombstone(msgspec.Struct, frozen=True):
    """An erased viewer, by the hash of the login; an empty channel means everywhere."""

    viewer: str
    channel: str


class Busy(msgspec.Struct, frozen=True):
    """Ten minutes of a channel: the moderators' acts against people, and the messages there."""

    channel: str
    window: int
    """Number of the ten minutes since the epoch."""
    acts: int
    messages: int


def viewer_hash(login: str) -> str:
    """What a tombstone keeps of a viewer instead of the login (hex of SHA-256)."""
    folded = login.strip().lstrip("@#").casefold()
    return hashlib.sha256(folded.encode("utf-8", "replace")).hexdigest()


class Evidence:
    """Reads what is known about exchanges beside the exchanges themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def deleted(self, messages: Sequence[str]) -> set[tuple[str, str]]:
        """(channel, message id) of those among `messages` that moderators deleted."""
        ids = [storable(id) for id in messages if id]
        if not ids:
            return set()
        statement = (
            select(channel_table.c.name, moderation.c.message_id)
            .join(channel_table, channel_table.c.id == moderation.c.channel_id)
            .where(moderation.c.message_id.in_(ids), moderation.c.kind == "delete")
        )
        async with self._database.read() as connection:
            return {(name, id) for name, id in await connection.execute(statement)}

    async def silenced(self) -> dict[tuple[str, str], int]:
        """The last time (ms) each (channel, login) was timed out or banned."""
        act = moderation.c
        statement = (
            select(channel_table.c.name, act.login, func.max(act.ts))
            .join(channel_table, channel_table.c.id == act.channel_id)
            .where(act.kind.in_(["timeout", "ban"]))
            .group_by(channel_table.c.name, act.login)
        )
        async with self._database.read() as connection:
            return {(name, login): ts for name, login, ts in await connection.execute(statement)}

    async def busy(self, least: int) -> list[Busy]:
        """Ten minutes with at least `least` acts against people (deletions, timeouts, bans)."""
        act = moderation.c
        begin = act.ts - act.ts % ATTACK_WINDOW_MS
        slots = (
            select(act.channel_id, begin.label("begin"), func.count().label("acts"))
            .where(act.kind.in_(["delete", "timeout", "ban"]))
            .group_by(act.channel_id, begin)
            .having(func.count() >= least)
            .subquery("slots")
        )
        messages = (
            select(func.count())
            .select_from(chat_message)
            .where(
                chat_message.c.channel_id == slots.c.channel_id,
                chat_message.c.ts >= slots.c.begin,
                chat_message.c.ts < slots.c.begin + ATTACK_WINDOW_MS,
            )
            .scalar_subquery()
        )
        statement = select(
            channel_table.c.name, slots.c.begin, slots.c.acts, messages.label("messages")
        ).join(channel_table, channel_table.c.id == slots.c.channel_id)
        async with self._database.read() as connection:
            return [
                Busy(name, begin // ATTACK_WINDOW_MS, acts, spoken)
                for name, begin, acts, spoken in await connection.execute(statement)
            ]

    async def tombstones(self) -> set[Tombstone]:
        """Every erased viewer."""
        statement = select(erasure.c.viewer_hash, erasure.c.channel).distinct()
        async with self._database.read() as connection:
            return {Tombstone(hash, name) for hash, name in await connection.execute(statement)}
