"""Attributes, groups, rollouts, people, the audit log, tallies of telemetry, and a revision to follow changes by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_LONG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add what a fleet is run with."""
    op.add_column("devices", sa.Column("attributes", sa.Text, nullable=False, server_default="{}"))
    op.add_column("devices", sa.Column("changed", _LONG, nullable=False, server_default="0"))
    op.create_index("devices_by_change", "devices", ["changed"])
    op.add_column("assignments", sa.Column("rollout", _LONG))
    op.create_index("reports_by_time", "reports", ["received_at"])
    op.create_index("windows_by_time", "windows", ["received_at"])
    op.create_table(
        "tallies",
        sa.Column("device", sa.String(64), primary_key=True),
        sa.Column("model", sa.String(100), primary_key=True),
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("first_at", sa.Float, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
    )
    op.create_index("tallies_by_artifact", "tallies", ["model", "sha256"])
    revision_ = op.create_table(
        "revision",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", _LONG, nullable=False),
    )
    op.bulk_insert(revision_, [{"id": 1, "number": 0}])
    op.create_table(
        "people",
        sa.Column("secret_sha256", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("made_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("revoked_at", sa.Float),
        sa.UniqueConstraint("name", name="people_by_name"),
    )
    op.create_table("groups", sa.Column("name", sa.String(100), primary_key=True), sa.Column("query", sa.Text, nullable=False))
    _make_audit()
    _make_rollouts()


def _make_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("place", _LONG, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("before", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    if op.get_context().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the audit log is only added to'; END $$"
        )
        for what, each in (("UPDATE OR DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
            op.execute(
                f"CREATE TRIGGER audit_no_{what.partition(' ')[0].lower()} BEFORE {what} ON audit FOR EACH {each} "
                "EXECUTE FUNCTION audit_stays()"
            )
        return
    refuse = "BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END"
    op.execute(f"CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit {refuse}")
    op.execute(f"CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit {refuse}")
    # INSERT OR REPLACE removes a row without asking the trigger above.
    is_known = "NEW.place <= (SELECT coalesce(max(place), 0) FROM audit)"
    op.execute(f"CREATE TRIGGER audit_in_order BEFORE INSERT ON audit WHEN {is_known} {refuse}")


def _make_rollouts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("name", sa.String(300), primary_key=True),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("version", _LONG, nullable=False),
        sa.Column("profile", sa.String(100), nullable=False),
        sa.Column("is_canary", sa.Boolean, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("length", _LONG, nullable=False),
        sa.Column("offer", sa.Text, nullable=False),
        sa.Column("bins", sa.LargeBinary),
        sa.Column("first_seen_at", sa.Float, nullable=False),
        sa.Column("gone_at", sa.Float),
    )
    op.create_index("artifacts_by_version", "artifacts", ["model", "version"])
    op.create_table(
        "rollouts",
        sa.Column("id", _LONG, primary_key=True, autoincrement=True),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("version", _LONG, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("stage", sa.Integer, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("made_at", sa.Float, nullable=False),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("changed_at", sa.Float, nullable=False),
        sa.Column("stage_since", sa.Float, nullable=False),
    )
    op.create_table(
        "members",
        sa.Column("rollout", _LONG, primary_key=True, autoincrement=False),
        sa.Column("device", sa.String(64), primary_key=True),
        sa.Column("stage", sa.Integer, nullable=False),
        sa.Column("place", sa.Float, nullable=False, server_default="0"),
        sa.Column("assigned_at", sa.Float),
        sa.Column("before", sa.Text),
        sa.Column("wanted", sa.Text),
        sa.Column("ran", sa.String(64)),
        sa.Column("running_since", sa.Float),
        sa.Column("outcome", sa.String(20)),
        sa.Column("outcome_at", sa.Float),
        sa.Column("outcome_place", sa.Integer),
        sa.Column("why", sa.Text),
        sa.Column("compared", sa.Text),
    )
    op.create_index("members_by_stage", "members", ["rollout", "stage", "place"])
    op.create_index("members_by_device", "members", ["device"])
