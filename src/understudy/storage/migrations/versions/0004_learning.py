"""What is learned: reactions, examples, versions, their gates and where they are deployed."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

EXPERIENCE = ("version", "config_hash", "events")


def upgrade() -> None:
    # Column by column: Alembic's batch mode would copy the table and lose its search triggers.
    for name in EXPERIENCE:
        op.add_column("experience", _text(name, ""))
    op.add_column("feedback", _text("source", ""))
    op.add_column("feedback", sa.Column("weight", sa.Float(), server_default="1", nullable=False))
    op.add_column("feedback", _text("text", ""))
    _reaction()
    _example()
    _model_version()
    _evaluation()
    _deployment()


def downgrade() -> None:
    for name in ("deployment", "evaluation", "model_version", "example", "reaction"):
        op.drop_table(name)
    for name in ("source", "weight", "text"):
        op.drop_column("feedback", name)
    for name in EXPERIENCE:
        op.drop_column("experience", name)


def _reaction() -> None:
    op.create_table(
        "reaction",
        _text("id"),
        _text("channel"),
        _number("ts"),
        sa.Column("control", sa.Boolean(), nullable=False),
        _text("signals", "{}"),
        _text("features", "[]"),
        _text("expected", "{}"),
        sa.Column("reward", sa.Float()),
        _text("masked_by", ""),
        sa.PrimaryKeyConstraint("id", name="pk_reaction"),
    )
    op.create_index("ix_reaction_channel_ts", "reaction", ["channel", "ts"])


def _example() -> None:
    op.create_table(
        "example",
        _text("id"),
        _text("channel"),
        _text("session_id"),
        _number("ts"),
        _text("duplicates"),
        _text("split"),
        _text("state", "auto"),
        _text("reason", ""),
        sa.PrimaryKeyConstraint("id", name="pk_example"),
    )
    op.create_index("ix_example_channel_ts", "example", ["channel", "ts"])
    op.create_index("ix_example_duplicates", "example", ["duplicates"])


def _model_version() -> None:
    op.create_table(
        "model_version",
        _text("id"),
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
        sa.PrimaryKeyConstraint("id", name="pk_model_version"),
    )
    op.create_index("ix_model_version_channel_created", "model_version", ["channel", "created"])


def _evaluation() -> None:
    op.create_table(
        "evaluation",
        _id(),
        _text("version"),
        _text("against", ""),
        _text("gate"),
        sa.Column("passed", sa.Boolean(), nullable=False),
        _text("sentence", ""),
        _text("figures", "{}"),
        _number("ts"),
        sa.PrimaryKeyConstraint("id", name="pk_evaluation"),
    )
    op.create_index("ix_evaluation_version_ts", "evaluation", ["version", "ts"])


def _deployment() -> None:
    op.create_table(
        "deployment",
        _id(),
        _text("channel", ""),
        _text("version"),
        _text("before", ""),
        sa.Column("share", sa.Float(), nullable=False),
        _text("reason"),
        _text("actor"),
        _number("ts"),
        sa.PrimaryKeyConstraint("id", name="pk_deployment"),
    )
    op.create_index("ix_deployment_channel_id", "deployment", ["channel", "id"])


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)


def _text(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)
