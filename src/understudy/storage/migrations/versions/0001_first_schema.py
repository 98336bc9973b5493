"""The first schema: chat and decisions, conversations, experience, jobs and keys."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FTS_SQLITE = (
    "CREATE VIRTUAL TABLE experience_fts USING fts5("
    "prompt_text, content='experience', content_rowid='seq')",
    "CREATE TRIGGER experience_fts_insert AFTER INSERT ON experience BEGIN "
    "INSERT INTO experience_fts(rowid, prompt_text) VALUES (new.seq, new.prompt_text); END",
    "CREATE TRIGGER experience_fts_delete AFTER DELETE ON experience BEGIN "
    "INSERT INTO experience_fts(experience_fts, rowid, prompt_text) "
    "VALUES ('delete', old.seq, old.prompt_text); END",
    "CREATE TRIGGER experience_fts_update AFTER UPDATE OF prompt_text ON experience BEGIN "
    "INSERT INTO experience_fts(experience_fts, rowid, prompt_text) "
    "VALUES ('delete', old.seq, old.prompt_text); "
    "INSERT INTO experience_fts(rowid, prompt_text) VALUES (new.seq, new.prompt_text); END",
)
FTS_POSTGRESQL = (
    "CREATE INDEX experience_fts ON experience USING gin (to_tsvector('simple', prompt_text))",
)


def upgrade() -> None:
    _people()
    _chat()
    _stream()
    _conversations()
    _experience()
    _work()
    _keys()


def downgrade() -> None:
    for table in (
        *("dead_letter", "overlay_key", "erasure", "job", "feedback"),
        *("client_context", "session_message", "session", "moderation", "stream_event"),
        *("decision", "chat_message", "viewer", "channel"),
    ):
        op.drop_table(table)
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE experience_fts")
    op.drop_table("experience")


def _row_id(name: str = "id") -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column(name, kind, primary_key=True)


def _key(name: str = "id") -> sa.Column[str]:
    return sa.Column(name, sa.Text(), primary_key=True)


def _text(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def _number(name: str, default: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default=default, nullable=False)


def _log_columns(table: str) -> list[Any]:
    """The columns every log table begins with; the key they form is each table's own."""
    return [
        _number("channel_id"),
        _number("ts"),
        _text("msg_id"),
        sa.ForeignKeyConstraint(["channel_id"], ["channel.id"], name=f"fk_{table}_channel_id"),
    ]


def _log_key(table: str) -> sa.UniqueConstraint:
    name = f"uq_{table}_channel_id_ts_msg_id"
    return sa.UniqueConstraint("channel_id", "ts", "msg_id", name=name)


def _people() -> None:
    op.create_table(
        "channel",
        _row_id(),
        _text("name"),
        _text("platform", "twitch"),
        _number("created"),
        sa.PrimaryKeyConstraint("id", name="pk_channel"),
        sa.UniqueConstraint("name", name="uq_channel_name"),
    )
    op.create_table(
        "viewer",
        _row_id(),
        _text("platform"),
        _text("login"),
        _text("name", ""),
        _number("first_seen"),
        sa.PrimaryKeyConstraint("id", name="pk_viewer"),
        sa.UniqueConstraint("platform", "login", name="uq_viewer_platform_login"),
    )


def _chat() -> None:
    op.create_table(
        "chat_message",
        _row_id(),
        *_log_columns("chat_message"),
        _number("viewer_id"),
        _text("text"),
        _text("role", "viewer"),
        sa.Column("first", sa.Boolean(), nullable=False),
        _text("reply_to", ""),
        _text("reply_to_user", ""),
        _text("name", ""),
        _text("platform", "twitch"),
        _text("tags", "{}"),
        sa.PrimaryKeyConstraint("id", name="pk_chat_message"),
        sa.ForeignKeyConstraint(["viewer_id"], ["viewer.id"], name="fk_chat_message_viewer_id"),
        _log_key("chat_message"),
    )
    op.create_index("ix_chat_message_viewer_id", "chat_message", ["viewer_id"])
    op.create_table(
        "decision",
        *_log_columns("decision"),
        _text("action"),
        _text("reason"),
        _text("detail", ""),
        sa.Column("score", sa.Float(), nullable=False),
        _text("turn", ""),
        sa.PrimaryKeyConstraint("channel_id", "ts", "msg_id", name="pk_decision"),
        sqlite_with_rowid=False,
    )


def _stream() -> None:
    op.create_table(
        "stream_event",
        _row_id(),
        *_log_columns("stream_event"),
        _text("kind"),
        sa.Column("viewer_id", sa.BigInteger()),
        _text("name", ""),
        _text("platform", "twitch"),
        _number("amount", "0"),
        _text("text", ""),
        _text("tags", "{}"),
        sa.PrimaryKeyConstraint("id", name="pk_stream_event"),
        sa.ForeignKeyConstraint(["viewer_id"], ["viewer.id"], name="fk_stream_event_viewer_id"),
        _log_key("stream_event"),
    )
    op.create_index("ix_stream_event_viewer_id", "stream_event", ["viewer_id"])
    op.create_table(
        "moderation",
        _row_id(),
        *_log_columns("moderation"),
        _text("kind"),
        _text("message_id", ""),
        _text("login", ""),
        sa.PrimaryKeyConstraint("id", name="pk_moderation"),
        _log_key("moderation"),
    )
    op.create_index(
        "ix_moderation_channel_id_message_id", "moderation", ["channel_id", "message_id"]
    )


def _conversations() -> None:
    op.create_table(
        "session",
        _key(),
        _text("channel", ""),
        _text("user_id", ""),
        _text("persona", ""),
        _number("created_at"),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("cleared_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_session"),
    )
    op.create_table(
        "session_message",
        _row_id("seq"),
        _text("id"),
        _text("session_id"),
        _number("ts"),
        _text("role"),
        _text("user_id", ""),
        _text("text"),
        _text("run", ""),
        _text("status", "complete"),
        sa.PrimaryKeyConstraint("seq", name="pk_session_message"),
        sa.UniqueConstraint("id", name="uq_session_message_id"),
    )
    op.create_index("ix_session_message_run", "session_message", ["run"])
    op.create_index("ix_session_message_session_id_ts", "session_message", ["session_id", "ts"])
    op.create_table(
        "client_context",
        _key("client"),
        _text("text"),
        _number("ts"),
        sa.PrimaryKeyConstraint("client", name="pk_client_context"),
    )


def _experience() -> None:
    op.create_table(
        "experience",
        _row_id("seq"),
        _text("id"),
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
        sa.Column("first_token_ms", sa.BigInteger()),
        _number("total_ms", "0"),
        _text("origin", "web"),
        sa.PrimaryKeyConstraint("seq", name="pk_experience"),
        sa.UniqueConstraint("id", name="uq_experience_id"),
    )
    op.create_index("ix_experience_ts_id", "experience", ["ts", "id"])
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in FTS_SQLITE if sqlite else FTS_POSTGRESQL:
        op.execute(statement)
    op.create_table(
        "feedback",
        _key(),
        _text("experience_id"),
        _number("ts"),
        _text("kind"),
        sa.Column("value", sa.Float(), nullable=False),
        _text("by_user", ""),
        _text("note", ""),
        sa.PrimaryKeyConstraint("id", name="pk_feedback"),
    )
    op.create_index("ix_feedback_experience_id", "feedback", ["experience_id"])


def _work() -> None:
    op.create_table(
        "job",
        _row_id(),
        _text("kind"),
        _text("args", "{}"),
        _number("run_at"),
        sa.Column("dedupe_key", sa.Text()),
        _text("state", "queued"),
        _text("lease_owner", ""),
        _number("lease_until", "0"),
        _number("attempts", "0"),
        _text("progress", ""),
        _text("result", ""),
        _number("created", "0"),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sa.UniqueConstraint("dedupe_key", name="uq_job_dedupe_key"),
    )
    op.create_index("ix_job_state_run_at", "job", ["state", "run_at"])
    op.create_table(
        "dead_letter",
        _row_id(),
        _number("ts"),
        _text("kind"),
        _text("payload"),
        _text("error"),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letter"),
    )


def _keys() -> None:
    op.create_table(
        "erasure",
        _row_id(),
        _text("viewer_hash"),
        _text("channel", ""),
        _number("ts"),
        sa.PrimaryKeyConstraint("id", name="pk_erasure"),
    )
    op.create_index("ix_erasure_viewer_hash", "erasure", ["viewer_hash"])
    op.create_table(
        "overlay_key",
        _key(),
        _text("overlay"),
        _text("label", ""),
        _text("key_hash"),
        _number("created"),
        sa.Column("revoked", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_overlay_key"),
        sa.UniqueConstraint("key_hash", name="uq_overlay_key_key_hash"),
    )
