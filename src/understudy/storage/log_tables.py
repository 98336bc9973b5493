"""The tables of the log: which field of a row goes into which column.

Owns the mapping. Does not own the statements made of it (`storage.log_sql`) nor the tables
themselves (`storage.tables`).
"""

from typing import Literal, NamedTuple

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


class Field(NamedTuple):
    """A column, where its value is found in the row, and the SQL literal for a gap.

    A `json` value is stored as its JSON text.
    """

    column: str
    path: str
    kind: Literal["text", "bigint", "float", "boolean", "json"] = "text"
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
    """Text fields of the row's event; in JSON, those with a default may be missing."""
    required = tuple(Field(name, f"event.{name}") for name in names)
    optional = tuple(Field(name, f"event.{name}", "text", sql) for name, sql in defaults.items())
    return required + optional


_TS = Field("ts", "event.ts", "bigint")
_MSG_ID = Field("msg_id", "event.id")
_LOG_KEY = "channel_id, ts, msg_id"
_EMPTY = "''"
_TAGS = Field("tags", "event.tags", "json", "'{}'")
_PLATFORM = "'twitch'"

TABLES: dict[type[LogRow], LogTable] = {
    ChatRow: LogTable(
        "chat_message",
        (
            *(_TS, _MSG_ID, Field("first", "event.first", "boolean", "false")),
            *_event("text", name=_EMPTY, role="'viewer'", platform=_PLATFORM),
            *_event(reply_to=_EMPTY, reply_to_user=_EMPTY),
            _TAGS,
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
            *_event("kind", name=_EMPTY, platform=_PLATFORM, text=_EMPTY),
            _TAGS,
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
            Field("prompt_text", "prompt_text"),
            Field("prompt_messages", "prompt_messages", "json"),
            *(Field("response", "response"), Field("in_reply_to", "in_reply_to")),
            Field("context_account", "context_account", "json", "'null'"),
            Field("first_token_ms", "first_token_ms", "bigint"),
            *(Field("total_ms", "total_ms", "bigint"), Field("origin", "origin")),
            Field("provider", "provider"),
            Field("input_tokens", "input_tokens", "bigint"),
            Field("output_tokens", "output_tokens", "bigint"),
            Field("cached_tokens", "cached_tokens", "bigint"),
            Field("cost_micros", "cost_micros", "bigint"),
            *(Field("version", "version"), Field("config_hash", "config_hash")),
            Field("events", "events"),
        ),
        "id",
        channel=False,
    ),
    FeedbackRow: LogTable(
        "feedback",
        (
            *(Field("id", "id"), Field("experience_id", "experience"), Field("ts", "ts", "bigint")),
            *(Field("kind", "kind"), Field("value", "value", "float")),
            *(Field("by_user", "by"), Field("note", "note"), Field("source", "source")),
            *(Field("weight", "weight", "float"), Field("text", "text")),
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
