"""Who was ever seen: the roster that redaction works from.

Owns reading the table `viewer` and the names scattered over the log; `storage.log_writer` writes
them. Does not own what is redacted (`safety`).
"""

from typing import Any

from sqlalchemy import ColumnElement, Select, literal, select, union

from understudy.storage.channels import channel_ids
from understudy.storage.engine import Database
from understudy.storage.tables import chat_message, moderation, stream_event, viewer
from understudy.storage.upsert import storable

Roster = set[tuple[str, str]]
"""Pairs of login and display name."""


class Viewers:
    """Reads the viewers of one channel or of all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def first_seen(self, platform: str, login: str) -> int | None:
        """When a viewer was first seen anywhere (ms); None for somebody never seen."""
        statement = select(viewer.c.first_seen).where(
            viewer.c.platform == storable(platform), viewer.c.login == storable(login)
        )
        async with self._database.read() as connection:
            return (await connection.execute(statement)).scalar_one_or_none()

    async def roster(self, channel: str | None = None) -> Roster:
        """Everyone seen in `channel` (None = anywhere) under every name they ever had.

        Chatters, subscribers and raiders, people replied to, and people timed out or banned. A
        login without any display name stands for itself.
        """
        async with self._database.read() as connection:
            if channel is None:
                names = [select(viewer.c.login, viewer.c.name), *_names(None)]
            else:
                ids = await channel_ids(connection, channel)
                if not ids:
                    return set()
                names = _names(ids[channel])
            rows = (await connection.execute(union(*names))).all()
        return _pairs([(login, name) for login, name in rows])


def _names(channel_id: int | None) -> "list[Select[*tuple[Any, ...]]]":
    """Where a login, and maybe a display name, can be found; the union makes them distinct."""
    nameless = literal("")
    chatters = chat_message.join(viewer, viewer.c.id == chat_message.c.viewer_id)
    subscribers = stream_event.join(viewer, viewer.c.id == stream_event.c.viewer_id)

    def here(column: ColumnElement[int]) -> ColumnElement[bool]:
        return literal(True) if channel_id is None else column == channel_id

    message, happening, act = chat_message.c, stream_event.c, moderation.c
    return [
        select(viewer.c.login, message.name).select_from(chatters).where(here(message.channel_id)),
        select(viewer.c.login, viewer.c.name).select_from(chatters).where(here(message.channel_id)),
        select(viewer.c.login, happening.name)
        .select_from(subscribers)
        .where(here(happening.channel_id)),
        select(message.reply_to_user, nameless).where(here(message.channel_id)),
        select(act.login, nameless).where(here(act.channel_id)),
    ]


def _pairs(rows: list[tuple[str, str]]) -> Roster:
    named = {(login, name) for login, name in rows if login and name}
    known = {login for login, _ in named}
    return named | {(login, login) for login, _ in rows if login and login not in known}
