"""How log rows become SQL: few statements per batch, whatever the batch's size.

Owns the statements and their parameters. Does not own which field is which column
(`storage.log_tables`), queueing, retries or connections (`storage.log_writer`,
`storage.log_store`).

A statement takes many rows at once and resolves channel and viewer ids by a join on the way, so
on SQLite it runs in one step with the interpreter lock released: a busy event loop and the log do
not slow each other down. SQLite takes rows as parameters, up to 512 in a statement; PostgreSQL
takes a batch as one JSON text, which it reads far faster than SQLite does.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from operator import attrgetter
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from understudy.events import ChatMessage, Event, StreamEvent
from understudy.storage.log_tables import (
    CHANNELS,
    DEAD_LETTERS,
    TABLES,
    VIEWERS,
    Field,
    LogTable,
)
from understudy.storage.rows import (
    ChatRow,
    DecisionRow,
    LogRow,
    ModerationRow,
    StreamEventRow,
)

Dialect = Literal["sqlite", "postgresql"]

_KNOWN_CHANNELS = 10_000
_KNOWN_VIEWERS = 100_000
_PARKED_CHARS = 1_000_000
_MOST_ROWS = 512
"""Rows of one statement on SQLite, which takes 32,766 parameters."""

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_CHANNEL = Field("", "event.channel")
_PLATFORM = Field("", "event.platform", "text", "'twitch'")
_USER = Field("", "event.user")


class UnstorableText(ValueError):
    """A row holds text no database can store."""


class Step(NamedTuple):
    """One statement to run, its parameters, and whether its row count is that of log rows."""

    sql: str
    parameters: Sequence[Any]
    counts: bool


class _NewChannel(msgspec.Struct):
    name: str
    platform: str
    ts: int


class _DeadLetter(msgspec.Struct):
    ts: int
    kind: str
    payload: str
    error: str


class _NewViewer(msgspec.Struct):
    platform: str
    login: str
    name: str
    ts: int


_RENAMED_VIEWER = (
    "DO UPDATE SET name = CASE WHEN excluded.name = '' THEN viewer.name ELSE excluded.name END, "
    "first_seen = CASE WHEN excluded.first_seen < viewer.first_seen "
    "THEN excluded.first_seen ELSE viewer.first_seen END"
)


def insert_sql(table: LogTable, dialect: Dialect, rows: int = 1) -> str:
    """The statement that stores `rows` rows in `table`, skipping what is there.

    PostgreSQL's takes a JSON array of any length, SQLite's the values of each row.
    """
    places = {field.path: place for place, field in enumerate(_inputs(table), 1)}

    def value(field: Field) -> str:
        found = f"column{places[field.path]}" if dialect == "sqlite" else _in_json(field)
        return found if field.default is None else f"coalesce({found}, {field.default})"

    values = {field.column: value(field) for field in table.fields}
    joins = ""
    # Outer joins: a name without an id becomes a null and fails loudly instead of vanishing.
    if table.channel:
        values["channel_id"] = "channel.id"
        joins += f" LEFT JOIN channel ON channel.name = {value(_CHANNEL)}"
    if table.viewer:
        values["viewer_id"] = "viewer.id"
        joins += f" LEFT JOIN viewer ON viewer.platform = {value(_PLATFORM)}"
        joins += f" AND viewer.login = {value(_USER)}"
    columns = ", ".join(f'"{column}"' for column in values)
    distinct, order = _order(table, values, dialect)
    return (
        f"INSERT INTO {table.name} ({columns}) SELECT {distinct}{', '.join(values.values())} "
        f"FROM {_source(dialect, len(places), rows)}{joins} WHERE true{order} "
        f"ON CONFLICT ({table.key}) {_on_conflict(table)}"
    )


def _inputs(table: LogTable) -> list[Field]:
    """What is taken from each row, once each."""
    fields = [*table.fields, *([_CHANNEL] if table.channel else [])]
    fields += [_PLATFORM, _USER] if table.viewer else []
    return list({field.path: field for field in reversed(fields)}.values())


def _source(dialect: Dialect, width: int, rows: int) -> str:
    if dialect == "postgresql":
        return "jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS batch(value, key)"
    row = f"({', '.join('?' * width)})"
    return f"(VALUES {', '.join([row] * rows)})"


def _in_json(field: Field) -> str:
    value = f"(batch.value #>> '{{{field.path.replace('.', ',')}}}')"
    return value if field.kind in {"text", "json"} else f"{value}::{field.kind}"


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


class _Statements(Protocol):
    """Makes the statements that store rows in one table."""

    def __call__(self, rows: Sequence[Any], counts: bool, /) -> list[Step]: ...


class _JsonStatements:
    """One statement for all rows, given as one JSON text."""

    def __init__(self, table: LogTable) -> None:
        self._sql = insert_sql(table, "postgresql")

    def __call__(self, rows: Sequence[Any], counts: bool, /) -> list[Step]:
        if not rows:
            return []
        payload = _json(rows)
        _refuse_nul(payload)
        return [Step(self._sql, (payload,), counts)]


class _ValueStatements:
    """Statements of 512, 256, 128, … rows, so that the database knows each one after a while."""

    def __init__(self, table: LogTable) -> None:
        inputs = _inputs(table)
        self._values: Callable[[Any], tuple[Any, ...]] = attrgetter(*(f.path for f in inputs))
        self._json = [place for place, field in enumerate(inputs) if field.kind == "json"]
        self._width = len(inputs)
        self._sql = cache(partial(insert_sql, table, "sqlite"))

    def __call__(self, rows: Sequence[Any], counts: bool, /) -> list[Step]:
        values = [value for row in map(self._values, rows) for value in row]
        for place in self._json:
            texts = [_json(value) for value in values[place :: self._width]]
            _refuse_nul("\n".join(texts))
            values[place :: self._width] = texts
        # SQLite would cut the text at the character without a word.
        if "\0" in "".join([value for value in values if value.__class__ is str]):
            raise UnstorableText(_HAS_NUL)
        steps: list[Step] = []
        done = 0
        while done < len(rows):
            size = min(_MOST_ROWS, 1 << (len(rows) - done).bit_length() - 1)
            chunk = values[done * self._width : (done + size) * self._width]
            steps.append(Step(self._sql(size), chunk, counts))
            done += size
        return steps


_HAS_NUL = "text holds a NUL character, which databases cannot store"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _refuse_nul(payload: str) -> None:
    if "\\u0000" in payload and _NUL.search(payload):
        raise UnstorableText(_HAS_NUL)


class Planner:
    """Turns batches of rows into steps, remembering which names the database already holds."""

    def __init__(self, dialect: Dialect) -> None:
        statements = _ValueStatements if dialect == "sqlite" else _JsonStatements
        self._log: dict[type[LogRow], _Statements] = {
            kind: statements(table) for kind, table in TABLES.items()
        }
        self._new_channels: _Statements = statements(CHANNELS)
        self._new_viewers: _Statements = statements(VIEWERS)
        self._dead_letters: _Statements = statements(DEAD_LETTERS)
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
        # Sorted, so that processes which store the same names do not deadlock.
        steps = self._new_channels([channels[key] for key in sorted(channels)], False)
        steps += self._new_viewers([viewers[key] for key in sorted(viewers)], False)
        for kind, group in groups.items():
            steps += self._log[kind](group, True)
        return steps

    def park(self, row: LogRow, reason: str, ts: int) -> list[Step]:
        """The statement that puts `row` into `dead_letter`."""
        try:
            payload = _json(row)
        except (ValueError, TypeError):
            payload = ascii(row)
        reason = reason.encode(errors="backslashreplace").decode().replace("\0", "\\0")
        kind = type(row).__name__
        letter = _DeadLetter(ts, kind, payload[:_PARKED_CHARS], reason[:_PARKED_CHARS])
        return self._dead_letters([letter], False)

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
