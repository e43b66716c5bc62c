"""Measurings of signed artifacts on devices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_LONG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add what is asked of devices, and what came of it."""
    op.create_table(
        "benches",
        sa.Column("id", _LONG, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(300), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("offer", sa.Text, nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("threads", sa.Text, nullable=False),
        sa.Column("batches", sa.Text, nullable=False),
        sa.Column("windows", sa.Integer, nullable=False),
        sa.Column("made_at", sa.Float, nullable=False),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("cancelled_at", sa.Float),
        sa.Column("cancelled_by", sa.Text),
    )
    op.create_index("benches_by_artifact", "benches", ["sha256", "id"])
    op.create_table(
        "bench_runs",
        sa.Column("id", _LONG, primary_key=True, autoincrement=True),
        sa.Column("bench", _LONG, nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("threads", sa.Integer, nullable=False),
        sa.Column("batch", sa.Integer, nullable=False),
        sa.Column("taken_at", sa.Float),
        sa.Column("ended_at", sa.Float),
        sa.Column("result", sa.String(20)),
        sa.Column("outcome", sa.Text),
    )
    op.create_index("bench_runs_of_bench", "bench_runs", ["bench"])
    is_open = sa.text("ended_at IS NULL")
    op.create_index("bench_runs_open", "bench_runs", ["device"], sqlite_where=is_open, postgresql_where=is_open)
