"""How log rows become SQL: one statement per table and batch, whatever the batch's size.

Owns the mapping of row fields to columns. Does not own queueing, retries or connections
(`storage.log_writer`, `storage.log_store`).

A batch travels as one JSON text and is taken apart by the database (`json_each`,
`jsonb_array_elements`), which resolves channel and viewer ids by a join on the way. So Python
touches each row only to encode it, and on SQLite the whole insert runs in one step with the
interpreter lock released: a busy event loop and the log do not slow each other down.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from understudy.events import ChatMessage, Event, StreamEvent
from understudy.storage.rows import (
    ChatRow,
    DecisionRow,
    ExperienceRow,
    FeedbackRow,
    LogRow,
    ModerationRow,
    SessionMessageRow,
    StreamEventRow,
)

Dialect = Literal["sqlite", "postgresql"]

_KNOWN_CHANNELS = 10_000
_KNOWN_VIEWERS = 100_000
_PARKED_CHARS = 1_000_000
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class UnstorableText(ValueError):
    """A row holds text no database can store."""


class Step(NamedTuple):
    """One statement to run, its JSON parameter, and whether its row count is that of log rows."""

    sql: str
    payload: bytes
    counts: bool


class _NewChannel(msgspec.Struct):
    name: str
    platform: str
    ts: int


class _NewViewer(msgspec.Struct):
    platform: str
    login: str
    name: str
    ts: int


class Field(NamedTuple):
    """A column, where its value is found in the row's JSON, and the SQL literal for a gap."""

    column: str
    path: str
    kind: Literal["text", "bigint", "float", "boolean"] = "text"
    default: str | None = None


class LogTable(NamedTuple):
    """How rows of one type are stored; `channel` and `viewer` say which ids are joined in."""

    name: str
    fields: tuple[Field, ...]
    key: str
    channel: bool = True
    viewer: bool = False
    last_wins: bool = False


def _event(*names: str, **defaults: str) -> tuple[Field, ...]:
    """Text fields of the row's event; those with a default may be missing from its JSON."""
    required = tuple(Field(name, f"event.{name}") for name in names)
    optional = tuple(Field(name, f"event.{name}", "text", sql) for name, sql in defaults.items())
    return required + optional


_TS = Field("ts", "event.ts", "bigint")
_MSG_ID = Field("msg_id", "event.id")
_LOG_KEY = "channel_id, ts, msg_id"
_EMPTY = "''"

TABLES: dict[type[LogRow], LogTable] = {
    ChatRow: LogTable(
        "chat_message",
        (
            *(_TS, _MSG_ID, Field("first", "event.first", "boolean", "false")),
            *_event("text", name=_EMPTY, role="'viewer'", platform="'twitch'", tags="'{}'"),
            *_event(reply_to=_EMPTY, reply_to_user=_EMPTY),
        ),
        _LOG_KEY,
        viewer=True,
    ),
    DecisionRow: LogTable(
        "decision",
        (
            Field("ts", "message_ts", "bigint"),
            Field("msg_id", "event.message_id"),
            Field("score", "event.score", "float", "0"),
            *_event("action", "reason", detail=_EMPTY, turn=_EMPTY),
        ),
        _LOG_KEY,
        last_wins=True,
    ),
    StreamEventRow: LogTable(
        "stream_event",
        (
            *(_TS, _MSG_ID, Field("amount", "event.amount", "bigint", "0")),
            *_event("kind", name=_EMPTY, platform="'twitch'", text=_EMPTY, tags="'{}'"),
        ),
        _LOG_KEY,
        viewer=True,
    ),
    ModerationRow: LogTable(
        "moderation",
        (
            *(_TS, _MSG_ID, Field("login", "event.user", "text", _EMPTY)),
            *_event("kind", message_id=_EMPTY),
        ),
        _LOG_KEY,
    ),
    SessionMessageRow: LogTable(
        "session_message",
        (
            *(Field("id", "id"), Field("session_id", "session"), Field("ts", "ts", "bigint")),
            *(Field("role", "role"), Field("user_id", "user"), Field("text", "text")),
            *(Field("run", "run"), Field("status", "status")),
        ),
        "id",
        channel=False,
    ),
    ExperienceRow: LogTable(
        "experience",
        (
            *(Field("id", "id"), Field("ts", "ts", "bigint"), Field("channel", "channel")),
            *(Field("session_id", "session"), Field("user_id", "user")),
            *(Field("persona", "persona"), Field("model", "model"), Field("status", "status")),
            *(Field("prompt_messages", "prompt_messages"), Field("prompt_text", "prompt_text")),
            *(Field("response", "response"), Field("in_reply_to", "in_reply_to")),
            Field("context_account", "context_account", "text", "'null'"),
            Field("first_token_ms", "first_token_ms", "bigint"),
            *(Field("total_ms", "total_ms", "bigint"), Field("origin", "origin")),
        ),
        "id",
        channel=False,
    ),
    FeedbackRow: LogTable(
        "feedback",
        (
            *(Field("id", "id"), Field("experience_id", "experience"), Field("ts", "ts", "bigint")),
            *(Field("kind", "kind"), Field("value", "value", "float")),
            *(Field("by_user", "by"), Field("note", "note")),
        ),
        "id",
        channel=False,
    ),
}
"""In the order they are written: an experience comes before its feedback."""


CHANNELS = LogTable(
    "channel",
    (Field("name", "name"), Field("platform", "platform"), Field("created", "ts", "bigint")),
    "name",
    channel=False,
)
VIEWERS = LogTable(
    "viewer",
    (
        *(Field("platform", "platform"), Field("login", "login"), Field("name", "name")),
        Field("first_seen", "ts", "bigint"),
    ),
    "platform, login",
    channel=False,
)
DEAD_LETTERS = LogTable(
    "dead_letter",
    (
        *(Field("ts", "ts", "bigint"), Field("kind", "kind")),
        *(Field("payload", "payload"), Field("error", "error")),
    ),
    "id",
    channel=False,
)
_BATCH: dict[Dialect, str] = {
    "sqlite": "json_each(CAST(? AS TEXT)) AS batch",
    "postgresql": "jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS batch(value, key)",
}
_RENAMED_VIEWER = (
    "DO UPDATE SET name = CASE WHEN excluded.name = '' THEN viewer.name ELSE excluded.name END, "
    "first_seen = CASE WHEN excluded.first_seen < viewer.first_seen "
    "THEN excluded.first_seen ELSE viewer.first_seen END"
)


def insert_sql(table: LogTable, dialect: Dialect) -> str:
    """The statement that stores a JSON array of rows in `table`, skipping what is there."""
    values = {field.column: _value(field, dialect) for field in table.fields}
    joins = ""
    # Outer joins: a name without an id becomes a null and fails loudly instead of vanishing.
    if table.channel:
        name = _value(Field("", "event.channel"), dialect)
        values["channel_id"] = "channel.id"
        joins += f" LEFT JOIN channel ON channel.name = {name}"
    if table.viewer:
        platform = _value(Field("", "event.platform", "text", "'twitch'"), dialect)
        login = _value(Field("", "event.user"), dialect)
        values["viewer_id"] = "viewer.id"
        joins += f" LEFT JOIN viewer ON viewer.platform = {platform} AND viewer.login = {login}"
    columns = ", ".join(f'"{column}"' for column in values)
    distinct, order = _order(table, values, dialect)
    return (
        f"INSERT INTO {table.name} ({columns}) SELECT {distinct}{', '.join(values.values())} "
        f"FROM {_BATCH[dialect]}{joins} WHERE true{order} "
        f"ON CONFLICT ({table.key}) {_on_conflict(table)}"
    )


def _value(field: Field, dialect: Dialect) -> str:
    if dialect == "sqlite":
        value = f"json_extract(batch.value, '$.{field.path}')"
    else:
        value = f"(batch.value #>> '{{{field.path.replace('.', ',')}}}')"
        value += "" if field.kind == "text" else f"::{field.kind}"
    return value if field.default is None else f"coalesce({value}, {field.default})"


def _order(table: LogTable, values: dict[str, str], dialect: Dialect) -> tuple[str, str]:
    """Rows are stored as they came. SQLite's outer loop runs that way by itself."""
    if dialect == "sqlite":
        return "", ""
    if not table.last_wins:
        return "", " ORDER BY batch.key"
    # PostgreSQL refuses to update a row twice in one statement: it gets the last one only.
    key = ", ".join(values[column] for column in table.key.split(", "))
    return f"DISTINCT ON ({key}) ", f" ORDER BY {key}, batch.key DESC"


def _on_conflict(table: LogTable) -> str:
    if table is VIEWERS:
        return _RENAMED_VIEWER
    if not table.last_wins:
        return "DO NOTHING"
    kept = table.key.split(", ")
    columns = [field.column for field in table.fields if field.column not in kept]
    return "DO UPDATE SET " + ", ".join(f'"{name}" = excluded."{name}"' for name in columns)


class Planner:
    """Turns batches of rows into steps, remembering which names the database already holds."""

    def __init__(self, dialect: Dialect) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._sql = {kind: insert_sql(table, dialect) for kind, table in TABLES.items()}
        self._channel_sql = insert_sql(CHANNELS, dialect)
        self._viewer_sql = insert_sql(VIEWERS, dialect)
        self._dead_letter_sql = insert_sql(DEAD_LETTERS, dialect)
        self._channels: set[str] = set()
        self._viewers: dict[tuple[str, str], tuple[str, int]] = {}

    def plan(self, rows: Iterable[LogRow]) -> list[Step]:
        """The statements that store `rows`, to be run in one transaction.

        Raises `ValueError` or `TypeError` when a row cannot be expressed. Names count as known
        from here on: call `forget_names` when the transaction fails.
        """
        groups: dict[type[LogRow], list[LogRow]] = {kind: [] for kind in TABLES}
        channels: dict[str, _NewChannel] = {}
        viewers: dict[tuple[str, str], _NewViewer] = {}
        for row in rows:
            groups[type(row)].append(row)
            if isinstance(row, ChatRow | StreamEventRow):
                self._note_channel(row.event, row.event.platform, channels)
                self._note_viewer(row.event, viewers)
            elif isinstance(row, DecisionRow | ModerationRow):
                self._note_channel(row.event, "twitch", channels)
        steps = self._names(self._channel_sql, channels) + self._names(self._viewer_sql, viewers)
        for kind, group in groups.items():
            if group:
                steps.append(Step(self._sql[kind], self._payload(group), True))
        return steps

    def park(self, row: LogRow, reason: str, ts: int) -> list[Step]:
        """The statement that puts `row` into `dead_letter`."""
        try:
            payload = self._encode(row).decode()
        except (ValueError, TypeError):
            payload = ascii(row)
        reason = reason.encode(errors="backslashreplace").decode().replace("\0", "\\0")
        letter = {
            "ts": ts,
            "kind": type(row).__name__,
            "payload": payload[:_PARKED_CHARS],
            "error": reason[:_PARKED_CHARS],
        }
        return [Step(self._dead_letter_sql, self._payload([letter]), False)]

    def forget_names(self) -> None:
        """Look every channel and viewer up again: the database may not hold them any more."""
        self._channels.clear()
        self._viewers.clear()

    def _note_channel(self, event: Event, platform: str, channels: dict[str, _NewChannel]) -> None:
        if event.channel in self._channels:
            return
        if len(self._channels) >= _KNOWN_CHANNELS:
            self._channels.clear()
        self._channels.add(event.channel)
        channels[event.channel] = _NewChannel(event.channel, platform, event.ts)

    def _note_viewer(
        self, event: ChatMessage | StreamEvent, viewers: dict[tuple[str, str], _NewViewer]
    ) -> None:
        if not event.user:
            return
        key = (event.platform, event.user)
        known = self._viewers.get(key)
        if known and event.name in {"", known[0]} and known[1] <= event.ts:
            return
        first_seen = event.ts if known is None else min(known[1], event.ts)
        name = event.name or (known[0] if known else "")
        if len(self._viewers) >= _KNOWN_VIEWERS:
            self._viewers.clear()
        self._viewers[key] = (name, first_seen)
        viewers[key] = _NewViewer(*key, name, first_seen)

    def _names(self, sql: str, new: Mapping[Any, msgspec.Struct]) -> list[Step]:
        # Sorted, so that processes which store the same names do not deadlock.
        return [Step(sql, self._payload([new[key] for key in sorted(new)]), False)] if new else []

    def _payload(self, rows: Sequence[Any]) -> bytes:
        payload = self._encode(rows)
        # SQLite would cut the text at the character without a word.
        if b"\\u0000" in payload and _NUL.search(payload):
            raise UnstorableText("text holds a NUL character, which databases cannot store")
        return payload
