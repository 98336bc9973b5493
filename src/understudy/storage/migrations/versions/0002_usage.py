"""What replies use: tokens and cost of each experience, and sums per day."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NUMBERS = ("input_tokens", "output_tokens", "cached_tokens", "cost_micros")


def upgrade() -> None:
    # Column by column: Alembic's batch mode would copy the table and lose its search triggers.
    op.add_column("experience", _text("provider", ""))
    for name in NUMBERS:
        op.add_column("experience", sa.Column(name, sa.BigInteger()))
    op.create_table(
        "usage_day",
        _text("day"),
        _text("channel"),
        _text("provider"),
        _text("model"),
        _number("replies"),
        _number("unpriced"),
        _number("input"),
        _number("output"),
        _number("cached"),
        _number("cost_micros"),
        sa.PrimaryKeyConstraint("day", "channel", "provider", "model", name="pk_usage_day"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("usage_day")
    for name in ("provider", *NUMBERS):
        op.drop_column("experience", name)


def _text(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
