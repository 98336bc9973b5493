"""The mood of each channel over time."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mood_rollup",
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("ts", sa.BigInteger(), nullable=False),
        _sum("messages", sa.BigInteger()),
        _sum("negative", sa.BigInteger()),
        _sum("positive", sa.BigInteger()),
        _sum("score", sa.Float()),
        _sum("readings", sa.BigInteger()),
        _sum("value", sa.Float()),
        _sum("intensity", sa.Float()),
        sa.PrimaryKeyConstraint("step", "channel", "ts", name="pk_mood_rollup"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_mood_rollup_step_ts", "mood_rollup", ["step", "ts"])


def downgrade() -> None:
    op.drop_table("mood_rollup")


def _sum(name: str, kind: sa.BigInteger | sa.Float[float]) -> sa.Column[Any]:
    return sa.Column(name, kind, server_default="0", nullable=False)
