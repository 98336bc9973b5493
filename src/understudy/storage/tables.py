"""The schema: every table, its keys and indexes, for SQLite and PostgreSQL alike.

Owns column names and types. Full-text search over `experience.prompt_text` differs between the
two databases and is made by the migrations: an FTS5 table `experience_fts` (external content,
kept in step by triggers) on SQLite, a GIN index of that name on PostgreSQL.

Times are integer milliseconds since the epoch, UTC. JSON is stored as text. Log tables are unique
over `(channel_id, ts, msg_id)` rather than over the id alone: a random-UUID index would touch
another page for every row and cost three to four times the throughput, while this one grows at
its end, absorbs re-delivered messages (they carry the same time), and serves the history pages.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

RowId = BigInteger().with_variant(Integer, "sqlite")
"""An automatic 64-bit id; SQLite only makes one for a column typed exactly INTEGER."""


def _id(name: str = "id") -> Column[int]:
    return Column(name, RowId, primary_key=True)


def _text(name: str, default: str | None = None, *, unique: bool = False) -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default, unique=unique)


def _number(name: str, default: str | None = None) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=default)


def _channel_id() -> Column[int]:
    return Column("channel_id", BigInteger, ForeignKey("channel.id"), nullable=False)


channel = Table(
    "channel",
    metadata,
    _id(),
    _text("name", unique=True),
    _text("platform", "twitch"),
    _number("created"),
)

viewer = Table(
    "viewer",
    metadata,
    _id(),
    _text("platform"),
    _text("login"),
    _text("name", ""),
    _number("first_seen"),
    UniqueConstraint("platform", "login"),
)

chat_message = Table(
    "chat_message",
    metadata,
    _id(),
    _channel_id(),
    _number("ts"),
    _text("msg_id"),
    Column("viewer_id", BigInteger, ForeignKey("viewer.id"), nullable=False, index=True),
    _text("text"),
    _text("role", "viewer"),
    Column("first", Boolean, nullable=False),
    _text("reply_to", ""),
    _text("reply_to_user", ""),
    _text("name", ""),
    _text("platform", "twitch"),
    _text("tags", "{}"),
    UniqueConstraint("channel_id", "ts", "msg_id"),
)
"""Chat. `name` is the display name at that time, `tags` a JSON object."""

decision = Table(
    "decision",
    metadata,
    _channel_id(),
    _number("ts"),
    _text("msg_id"),
    _text("action"),
    _text("reason"),
    _text("detail", ""),
    Column("score", Float, nullable=False),
    _text("turn", ""),
    PrimaryKeyConstraint("channel_id", "ts", "msg_id"),
    sqlite_with_rowid=False,
)
"""What became of a chat message; `ts` and `msg_id` are the message's, not the decision's."""

stream_event = Table(
    "stream_event",
    metadata,
    _id(),
    _channel_id(),
    _number("ts"),
    _text("msg_id"),
    _text("kind"),
    Column("viewer_id", BigInteger, ForeignKey("viewer.id"), index=True),
    _text("name", ""),
    _text("platform", "twitch"),
    _number("amount", "0"),
    _text("text", ""),
    _text("tags", "{}"),
    UniqueConstraint("channel_id", "ts", "msg_id"),
)
"""Subs, raids and the like; `viewer_id` is null when nobody is named."""

moderation = Table(
    "moderation",
    metadata,
    _id(),
    _channel_id(),
    _number("ts"),
    _text("msg_id"),
    _text("kind"),
    _text("message_id", ""),
    _text("login", ""),
    UniqueConstraint("channel_id", "ts", "msg_id"),
    Index(None, "channel_id", "message_id"),
)
"""Moderators' acts; `msg_id` is the act's own id, `message_id` the deleted message's."""

session = Table(
    "session",
    metadata,
    Column("id", Text, primary_key=True),
    _text("channel", ""),
    _text("user_id", ""),
    _text("persona", ""),
    _number("created_at"),
    Column("ended_at", BigInteger),
    Column("cleared_at", BigInteger),
)
"""Conversations. Messages up to and including `cleared_at` are out of the conversation."""

session_message = Table(
    "session_message",
    metadata,
    Column("seq", RowId, primary_key=True),
    _text("id", unique=True),
    _text("session_id"),
    _number("ts"),
    _text("role"),
    _text("user_id", ""),
    _text("text"),
    Column("run", Text, nullable=False, server_default="", index=True),
    _text("status", "complete"),
    Index(None, "session_id", "ts"),
)
"""Messages of conversations in order of `(ts, seq)`. No foreign key: a log never refuses a row
because the session's own row is on its way."""

client_context = Table(
    "client_context",
    metadata,
    Column("client", Text, primary_key=True),
    _text("text"),
    _number("ts"),
)
"""What `/setcontext` keeps for a client."""

experience = Table(
    "experience",
    metadata,
    Column("seq", RowId, primary_key=True),
    _text("id", unique=True),
    _number("ts"),
    _text("channel", ""),
    _text("session_id", ""),
    _text("user_id", ""),
    _text("persona", ""),
    _text("model", ""),
    _text("prompt_messages", "[]"),
    _text("prompt_text"),
    _text("response"),
    _text("status"),
    _text("in_reply_to", ""),
    _text("context_account", "null"),
    Column("first_token_ms", BigInteger),
    _number("total_ms", "0"),
    _text("origin", "web"),
    _text("provider", ""),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("cost_micros", BigInteger),
    _text("version", ""),
    _text("config_hash", ""),
    _text("events", ""),
    Index(None, "ts", "id"),
)
"""Exchanges as the model saw them. `seq` is the rowid of `experience_fts` (an implicit rowid may
change in a VACUUM). The rating is the sum of its feedback's values, computed when asked for.
Tokens and cost (millionths of a dollar) are null where nobody knows them. `version` is the model
version that answered, `events` names what else was going on (raid, sub, …), separated by commas."""

feedback = Table(
    "feedback",
    metadata,
    Column("id", Text, primary_key=True),
    Column("experience_id", Text, nullable=False, index=True),
    _number("ts"),
    _text("kind"),
    Column("value", Float, nullable=False),
    _text("by_user", ""),
    _text("note", ""),
    _text("source", ""),
    Column("weight", Float, nullable=False, server_default="1"),
    _text("text", ""),
)
"""Judgements of experiences, append-only. `source` is whose it is (streamer, moderator, viewer,
system), `text` the better reply of an edit, or the replies of a ranking as a JSON list, best
first."""

usage_day = Table(
    "usage_day",
    metadata,
    _text("day"),
    _text("channel"),
    _text("provider"),
    _text("model"),
    _number("replies", "0"),
    _number("unpriced", "0"),
    _number("input", "0"),
    _number("output", "0"),
    _number("cached", "0"),
    _number("cost_micros", "0"),
    PrimaryKeyConstraint("day", "channel", "provider", "model"),
    sqlite_with_rowid=False,
)
"""What each model used per channel and day (UTC, `YYYY-MM-DD`), in tokens and millionths of a
dollar. The cost does not hold the `unpriced` replies."""

job = Table(
    "job",
    metadata,
    _id(),
    _text("kind"),
    _text("args", "{}"),
    _number("run_at"),
    Column("dedupe_key", Text, unique=True),
    _text("state", "queued"),
    _text("lease_owner", ""),
    _number("lease_until", "0"),
    _number("attempts", "0"),
    _text("progress", ""),
    _text("result", ""),
    _number("created", "0"),
    Index(None, "state", "run_at"),
)
"""Work to be done once, claimed by lease: `state` is queued, running, done or failed."""

erasure = Table(
    "erasure",
    metadata,
    _id(),
    _text("viewer_hash"),
    _text("channel", ""),
    _number("ts"),
    Index(None, "viewer_hash"),
)
"""Tombstones, so that re-imports and old exports drop a forgotten viewer too."""

overlay_key = Table(
    "overlay_key",
    metadata,
    Column("id", Text, primary_key=True),
    _text("overlay"),
    _text("label", ""),
    _text("key_hash", unique=True),
    _number("created"),
    Column("revoked", BigInteger),
)
"""Read-only keys of overlays; `revoked` is when, null while the key is good."""

dead_letter = Table(
    "dead_letter",
    metadata,
    _id(),
    _number("ts"),
    _text("kind"),
    _text("payload"),
    _text("error"),
)
"""Rows the database refused, with the reason, kept for a person to look at."""

mood_rollup = Table(
    "mood_rollup",
    metadata,
    _number("step"),
    _text("channel"),
    _number("ts"),
    _number("messages", "0"),
    _number("negative", "0"),
    _number("positive", "0"),
    Column("score", Float, nullable=False, server_default="0"),
    _number("readings", "0"),
    Column("value", Float, nullable=False, server_default="0"),
    Column("intensity", Float, nullable=False, server_default="0"),
    PrimaryKeyConstraint("step", "channel", "ts"),
    Index(None, "step", "ts"),
    sqlite_with_rowid=False,
)
"""The mood of a channel over `step` seconds from `ts` on. All numbers are sums, so that rows of the
same key add up; `score` is over messages, `value` and `intensity` over readings of the meter."""

reaction = Table(
    "reaction",
    metadata,
    Column("id", Text, primary_key=True),
    _text("channel"),
    _number("ts"),
    Column("control", Boolean, nullable=False),
    _text("signals", "{}"),
    _text("features", "[]"),
    _text("expected", "{}"),
    Column("reward", Float),
    _text("masked_by", ""),
    Index(None, "channel", "ts"),
)
"""What the room did after a reply (`id` is the experience's) or after a chance that was left out on
purpose (`control`; `id` is the message's). `reward` is null where it was masked or is not known."""

example = Table(
    "example",
    metadata,
    Column("id", Text, primary_key=True),
    _text("channel"),
    _text("session_id"),
    _number("ts"),
    _text("duplicates"),
    _text("split"),
    _text("state", "auto"),
    _text("reason", ""),
    Index(None, "channel", "ts"),
    Index(None, "duplicates"),
)
"""What an experience (`id`) is used for in training. `split` (train, val, anchor) never changes;
`duplicates` names the group of near-duplicates it belongs to; `state` is auto, approved, rejected
or tombstoned, with the `reason`."""

model_version = Table(
    "model_version",
    metadata,
    Column("id", Text, primary_key=True),
    _text("channel", ""),
    _text("parent", ""),
    _text("base"),
    _text("base_hash"),
    _text("adapter_hash", ""),
    _text("provider", "huggingface"),
    _text("dataset", ""),
    _text("run", ""),
    _text("state", "candidate"),
    _text("reason", ""),
    _text("metrics", "{}"),
    _number("created"),
    Index(None, "channel", "created"),
)
"""Trained versions of models: `state` is candidate, canary, live, retired or blocked. Weights lie
in `models/<id>/` of the data directory."""

evaluation = Table(
    "evaluation",
    metadata,
    _id(),
    _text("version"),
    _text("against", ""),
    _text("gate"),
    Column("passed", Boolean, nullable=False),
    _text("sentence", ""),
    _text("figures", "{}"),
    _number("ts"),
    Index(None, "version", "ts"),
)
"""Every figure of every gate, append-only."""

deployment = Table(
    "deployment",
    metadata,
    _id(),
    _text("channel", ""),
    _text("version"),
    _text("before", ""),
    Column("share", Float, nullable=False),
    _text("reason"),
    _text("actor"),
    _number("ts"),
    Index(None, "channel", "id"),
)
"""Who was given which version when, and why, append-only: the last row of a channel counts.
`share` below 1 is a canary beside `before`."""
