"""Samples and their labels, where drift stands, alerts, and trainings that follow from them; where an artifact comes from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_LONG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add what a loop is closed with."""
    op.add_column("artifacts", sa.Column("provenance", sa.LargeBinary))
    _make_labels()
    _make_drift()
    _make_retraining()


def _make_labels() -> None:
    op.create_table(
        "samples",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("received_at", sa.Float, nullable=False),
        sa.Column("reasons", sa.Text, nullable=False),
        sa.Column("confidence", sa.Float, nullable=False),
        sa.Column("predicted", sa.Integer),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("label", sa.Text),
        sa.Column("labelled_at", sa.Float),
        sa.Column("labelled_by", sa.Text),
    )
    op.create_index("samples_by_model", "samples", ["model", "received_at"])
    op.create_index("samples_by_device", "samples", ["device", "received_at"])
    op.create_table(
        "outcomes",
        sa.Column("model", sa.String(100), primary_key=True),
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("device", sa.String(64), primary_key=True),
        sa.Column("start", _LONG, primary_key=True, autoincrement=False),
        sa.Column("predicted", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("label", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("count", _LONG, nullable=False),
    )
    op.create_table(
        "pushes",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("rows", _LONG, nullable=False),
    )


def _make_drift() -> None:
    op.create_table(
        "drift_states",
        sa.Column("model", sa.String(100), primary_key=True),
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("through", sa.Float, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
    )
    op.create_table(
        "drift_windows",
        sa.Column("model", sa.String(100), primary_key=True),
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("start", _LONG, primary_key=True, autoincrement=False),
        sa.Column("seconds", _LONG, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("judged", sa.Text),
    )
    op.create_index("drift_windows_by_time", "drift_windows", ["start"])
    op.create_table(
        "alerts",
        sa.Column("id", _LONG, primary_key=True, autoincrement=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("measure", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("severity", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("first_at", sa.Float, nullable=False),
        sa.Column("last_at", sa.Float, nullable=False),
        sa.Column("windows", _LONG, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("acknowledged_by", sa.Text),
        sa.Column("told", sa.Text),
    )
    is_open = sa.text("state <> 'closed'")
    op.create_index("alerts_once", "alerts", ["key"], unique=True, sqlite_where=is_open, postgresql_where=is_open)
    op.create_index("alerts_by_model", "alerts", ["model", "last_at"])


def _make_retraining() -> None:
    op.create_table(
        "policies",
        sa.Column("model", sa.String(100), primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
    )
    op.create_table(
        "retrainings",
        sa.Column("id", _LONG, primary_key=True, autoincrement=True),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("alert", _LONG),
        sa.Column("made_at", sa.Float, nullable=False),
        sa.Column("changed_at", sa.Float, nullable=False),
        sa.Column("steps", sa.Text, nullable=False),
        sa.Column("worker", sa.Text),
        sa.Column("lease_until", sa.Float),
        sa.Column("rollout", _LONG),
        sa.Column("key", sa.String(300)),
        sa.UniqueConstraint("key", name="retrainings_once"),
    )
    op.create_index("retrainings_by_model", "retrainings", ["model", "made_at"])
