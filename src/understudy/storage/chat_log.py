"""The archive of chat: what was said, what the co-host made of it, what was removed later.

Owns reading `chat_message` joined with `decision` and `moderation`; `storage.log_writer` writes
them. Does not own what may be exported (`learning`, `safety`).

Messages are ordered by `(ts, channel, message id)`. Each channel is read along its unique index
and the channels are merged, so no query sorts the table, however long the archive is.
"""

import base64
import heapq
from binascii import Error as BadBase64
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

import msgspec
from sqlalchemy import ColumnElement, Row, Select, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from understudy.events import ChatMessage, DecisionAction
from understudy.storage.channels import channel_ids
from understudy.storage.engine import Database
from understudy.storage.errors import StorageError
from understudy.storage.experiences import Experiences, RatedExperience
from understudy.storage.tables import channel as channel_table
from understudy.storage.tables import chat_message, decision, moderation, viewer
from understudy.storage.upsert import storable
from understudy.storage.viewers import Roster, Viewers

CHUNK = 500
"""Messages an iterator reads at a time."""

_Int64 = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class InvalidCursor(StorageError):
    """The cursor does not come from this archive."""


class MessageDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What the director made of a message; `turn` is the run that answers it, if any."""

    action: DecisionAction
    reason: str
    detail: str
    turn: str


class Position(msgspec.Struct, frozen=True, array_like=True):
    """A place in the order of the archive."""

    ts: _Int64
    channel_id: _Int64
    msg_id: str

    @classmethod
    def parse(cls, cursor: str) -> "Position":
        """The place a cursor stands for; raises `InvalidCursor`."""
        try:
            place = msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=cls)
        except (BadBase64, ValueError, msgspec.DecodeError):
            raise InvalidCursor(
                "the cursor is not one this archive gave out: leave it out to start anew"
            ) from None
        return msgspec.structs.replace(place, msg_id=storable(place.msg_id))


class ArchivedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A chat message with its decision and whether moderators removed it later."""

    message: ChatMessage
    decision: MessageDecision | None
    deleted: bool
    position: Position

    @property
    def cursor(self) -> str:
        """An opaque text for `ChatArchive.messages` to go on after this message."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self.position)).decode()


class ChatArchive:
    """Reads the chat of one channel or of all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def messages(
        self, channel: str | None, after: str | None, limit: int, newest: bool = False
    ) -> list[ArchivedMessage]:
        """A page of `limit` messages, oldest first, or newest first when `newest`.

        `after` is the `cursor` of a message; the page goes on after it in the same direction.
        Raises `InvalidCursor`.
        """
        position = None if after is None else Position.parse(after)
        async with self._database.read() as connection:
            ids = list((await channel_ids(connection, channel)).values())
            pages = [
                await _page(connection, channel_id, position, limit, newest)
                for channel_id in (reversed(ids) if newest else ids)
            ]
        sign = -1 if newest else 1
        merged = heapq.merge(*pages, key=lambda archived: sign * archived.position.ts)
        return [archived for archived, _ in zip(merged, range(limit), strict=False)]

    async def count(self, channel: str | None = None) -> int:
        """How many messages the archive has of `channel`, or in all."""
        statement = select(func.count()).select_from(chat_message)
        async with self._database.read() as connection:
            if channel is not None:
                ids = await channel_ids(connection, channel)
                statement = statement.where(chat_message.c.channel_id.in_(ids.values()))
            return (await connection.execute(statement)).scalar_one()

    async def iter_messages(
        self, channel: str | None, since: int = 0
    ) -> AsyncIterator[ArchivedMessage]:
        """All messages from `since` (ms) on in order of time, read a chunk at a time.

        No transaction stays open between chunks, so a slow reader holds up nobody.
        """
        async with self._database.read() as connection:
            ids = await channel_ids(connection, channel)
        streams = [self._stream(channel_id, since) for channel_id in ids.values()]
        waiting: list[tuple[int, int, ArchivedMessage]] = []
        for index, stream in enumerate(streams):
            if (first := await anext(stream, None)) is not None:
                heapq.heappush(waiting, (first.position.ts, index, first))
        while waiting:
            _, index, archived = waiting[0]
            yield archived
            following = await anext(streams[index], None)
            if following is None:
                heapq.heappop(waiting)
            else:
                heapq.heapreplace(waiting, (following.position.ts, index, following))

    def iter_experiences(
        self, channel: str | None, since: int = 0
    ) -> AsyncIterator[RatedExperience]:
        """All experiences from `since` (ms) on in order of `(ts, id)`, read a chunk at a time."""
        return Experiences(self._database).iterate(channel, since)

    async def roster(self, channel: str | None = None) -> Roster:
        """Login and display name of everyone ever seen; see `Viewers.roster`."""
        return await Viewers(self._database).roster(channel)

    async def _stream(self, channel_id: int, since: int) -> AsyncIterator[ArchivedMessage]:
        position = Position(since, 0, "")
        while True:
            async with self._database.read() as connection:
                page = await _page(connection, channel_id, position, CHUNK, newest=False)
            for archived in page:
                yield archived
            if len(page) < CHUNK:
                return
            position = page[-1].position


async def _page(
    connection: AsyncConnection,
    channel_id: int,
    position: Position | None,
    limit: int,
    newest: bool,
) -> Sequence[ArchivedMessage]:
    """The next messages of one channel after `position`."""
    message = chat_message.c
    statement = _joined(channel_id).limit(max(limit, 0))
    if newest:
        statement = statement.order_by(message.ts.desc(), message.msg_id.desc())
    else:
        statement = statement.order_by(message.ts, message.msg_id)
    if position is not None:
        statement = statement.where(_beyond(position, channel_id, newest))
    return [_archived(row) for row in await connection.execute(statement)]


def _beyond(position: Position, channel_id: int, newest: bool) -> ColumnElement[bool]:
    """Messages of one channel that come after `position` in the order over all channels."""
    message = chat_message.c
    if channel_id == position.channel_id:
        here = tuple_(message.ts, message.msg_id)
        place = (position.ts, position.msg_id)
        return here < place if newest else here > place
    # At equal times channels are in order of their ids: this one lies wholly before or after.
    if newest:
        earlier = channel_id < position.channel_id
        return message.ts <= position.ts if earlier else message.ts < position.ts
    later = channel_id > position.channel_id
    return message.ts >= position.ts if later else message.ts > position.ts


def _joined(channel_id: int) -> Select[Any]:
    """Messages of one channel with author, decision and whether they were removed."""
    message, act = chat_message.c, moderation.c
    acts_here = act.channel_id == channel_id
    silenced = (
        select(act.login, func.max(act.ts).label("until"))
        .where(acts_here, act.kind.in_(["timeout", "ban"]))
        .group_by(act.login)
        .subquery("silenced")
    )
    cleared = select(func.max(act.ts)).where(acts_here, act.kind == "clear").scalar_subquery()
    deleted = (
        select(act.id)
        .where(acts_here, act.kind == "delete", act.message_id == message.msg_id)
        .exists()
    )
    return (
        select(
            chat_message,
            channel_table.c.name.label("channel"),
            viewer.c.login,
            decision.c.action,
            decision.c.reason,
            decision.c.detail,
            decision.c.turn,
            or_(deleted, message.ts <= silenced.c.until, message.ts <= cleared).label("deleted"),
        )
        .join(channel_table, channel_table.c.id == message.channel_id)
        .join(viewer, viewer.c.id == message.viewer_id)
        .outerjoin(
            decision,
            (decision.c.channel_id == message.channel_id)
            & (decision.c.ts == message.ts)
            & (decision.c.msg_id == message.msg_id),
        )
        .outerjoin(silenced, silenced.c.login == viewer.c.login)
        .where(message.channel_id == channel_id)
    )


def _archived(row: Row[Any]) -> ArchivedMessage:
    made = None
    if row.action is not None:
        made = MessageDecision(
            action=row.action, reason=row.reason, detail=row.detail, turn=row.turn
        )
    return ArchivedMessage(
        message=ChatMessage(
            id=row.msg_id,
            channel=row.channel,
            ts=row.ts,
            user=row.login,
            text=row.text,
            name=row.name,
            platform=row.platform,
            role=row.role,
            reply_to=row.reply_to,
            reply_to_user=row.reply_to_user,
            first=row.first,
            tags=msgspec.json.decode(row.tags, type=dict[str, str]),
        ),
        decision=made,
        # Null where no timeout, ban or clear is on record.
        deleted=bool(row.deleted),
        position=Position(row.ts, row.channel_id, row.msg_id),
    )
