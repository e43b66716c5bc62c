"""Devices, assignments, reports and telemetry: what the smallest control plane kept."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_LONG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _said() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("running", sa.String(64)),
        sa.Column("target", sa.String(64)),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("result", sa.String(40)),
        sa.Column("why", sa.Text, nullable=False),
    )


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "tokens",
        sa.Column("secret_sha256", sa.String(64), primary_key=True),
        sa.Column("made_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("used_by", sa.String(64)),
        sa.Column("used_at", sa.Float),
    )
    op.create_table(
        "devices",
        sa.Column("device", sa.String(64), primary_key=True),
        sa.Column("public_key", sa.LargeBinary(32), nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("enrolled_at", sa.Float, nullable=False),
        sa.Column("revoked_at", sa.Float),
        sa.Column("seen_at", sa.Float),
    )
    op.create_table(
        "assignments",
        sa.Column("device", sa.String(64), primary_key=True),
        sa.Column("model", sa.String(100), primary_key=True),
        sa.Column("sha256", sa.String(64)),
        sa.Column("name", sa.String(300)),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("deadline_s", sa.Float),
        sa.Column("is_aborted", sa.Boolean, nullable=False),
    )
    op.create_table(
        "reports",
        sa.Column("place", _LONG, primary_key=True, autoincrement=True),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("boot", sa.String(100), nullable=False),
        sa.Column("sequence", _LONG, nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        *_said(),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("received_at", sa.Float, nullable=False),
        sa.UniqueConstraint("device", "boot", "sequence", name="reports_once"),
    )
    op.create_table(
        "starts",
        sa.Column("device", sa.String(64), primary_key=True),
        sa.Column("boot", sa.String(100), primary_key=True),
        sa.Column("era", sa.Integer, nullable=False),
        sa.Column("number", _LONG, nullable=False),
        sa.Column("place", _LONG, nullable=False),
        sa.Column("first_at", sa.Float, nullable=False),
    )
    op.create_table(
        "states",
        sa.Column("device", sa.String(64), primary_key=True),
        sa.Column("model", sa.String(100), primary_key=True),
        sa.Column("boot", sa.String(100), nullable=False),
        sa.Column("sequence", _LONG, nullable=False),
        *_said(),
        sa.Column("received_at", sa.Float, nullable=False),
    )
    op.create_table(
        "streams",
        sa.Column("device", sa.String(64), primary_key=True),
        sa.Column("stream", sa.String(100), primary_key=True),
        sa.Column("model", sa.String(100), primary_key=True),
        sa.Column("highest", _LONG, nullable=False),
    )
    op.create_table(
        "windows",
        sa.Column("device", sa.String(64), primary_key=True),
        sa.Column("stream", sa.String(100), primary_key=True),
        sa.Column("model", sa.String(100), primary_key=True),
        sa.Column("sequence", _LONG, primary_key=True, autoincrement=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("start", _LONG, nullable=False),
        sa.Column("end", _LONG, nullable=False),
        sa.Column("received_at", sa.Float, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
