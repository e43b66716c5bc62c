"""The control plane's tables. Digests are lower-case hexadecimal, times seconds since 1970 by the server's clock.

They are the same on SQLite and PostgreSQL. A change of them is a migration beside (`migrations`), and a new SCHEMA.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

SCHEMA = "0004"  # the newest migration
METADATA = MetaData()
# SQLite counts up by itself in a column of exactly this type only.
LONG = BigInteger().with_variant(Integer, "sqlite")


def _said() -> tuple[Column[Any], ...]:
    """What a report says of a model."""
    return (
        Column("running", String(64)),
        Column("target", String(64)),
        Column("state", String(40), nullable=False),
        Column("result", String(40)),
        Column("why", Text, nullable=False),
    )


# A one-time token: its secret is kept as a digest only.
TOKENS = Table(
    "tokens",
    METADATA,
    Column("secret_sha256", String(64), primary_key=True),
    Column("made_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("used_by", String(64)),
    Column("used_at", Float),
)

# `public_key` is the one that signs now; the device's name comes from its first. `facts` is what it said of itself when it
# enrolled, `attributes` what operators set, both JSON objects of texts. `changed` is the revision (REVISION) at which something
# last changed that its polls depend on.
DEVICES = Table(
    "devices",
    METADATA,
    Column("device", String(64), primary_key=True),
    Column("public_key", LargeBinary(32), nullable=False),
    Column("facts", Text, nullable=False),
    Column("enrolled_at", Float, nullable=False),
    Column("revoked_at", Float),
    Column("seen_at", Float),
    Column("attributes", Text, nullable=False, server_default="{}"),
    Column("changed", LONG, nullable=False, server_default="0"),
    Index("devices_by_change", "changed"),
)

# `rollout` is the one that assigned it, or null where a person did.
ASSIGNMENTS = Table(
    "assignments",
    METADATA,
    Column("device", String(64), primary_key=True),
    Column("model", String(100), primary_key=True),
    Column("sha256", String(64)),
    Column("name", String(300)),
    Column("attempt", Integer, nullable=False),
    Column("deadline_s", Float),
    Column("is_aborted", Boolean, nullable=False),
    Column("rollout", LONG),
)

# Every report that was taken, once; `place` is the order of arrival.
REPORTS = Table(
    "reports",
    METADATA,
    Column("place", LONG, primary_key=True, autoincrement=True),
    Column("device", String(64), nullable=False),
    Column("boot", String(100), nullable=False),
    Column("sequence", LONG, nullable=False),
    Column("model", String(100), nullable=False),
    *_said(),
    Column("at", Float, nullable=False),
    Column("received_at", Float, nullable=False),
    UniqueConstraint("device", "boot", "sequence", name="reports_once"),
    Index("reports_by_time", "received_at"),
)

# The starts of each device's agent that were heard of, and their order (fleet.control.order).
STARTS = Table(
    "starts",
    METADATA,
    Column("device", String(64), primary_key=True),
    Column("boot", String(100), primary_key=True),
    Column("era", Integer, nullable=False),
    Column("number", LONG, nullable=False),
    Column("place", LONG, nullable=False),
    Column("first_at", Float, nullable=False),
)

# What each model of each device was last said to be: derived from reports, never from what was assigned.
STATES = Table(
    "states",
    METADATA,
    Column("device", String(64), primary_key=True),
    Column("model", String(100), primary_key=True),
    Column("boot", String(100), nullable=False),
    Column("sequence", LONG, nullable=False),
    *_said(),
    Column("received_at", Float, nullable=False),
)

# What each device's streams have brought: the last sequence by model.
STREAMS = Table(
    "streams",
    METADATA,
    Column("device", String(64), primary_key=True),
    Column("stream", String(100), primary_key=True),
    Column("model", String(100), primary_key=True),
    Column("highest", LONG, nullable=False),
)

# Windows of telemetry as they came (fleet.protocol.window), each once.
WINDOWS = Table(
    "windows",
    METADATA,
    Column("device", String(64), primary_key=True),
    Column("stream", String(100), primary_key=True),
    Column("model", String(100), primary_key=True),
    Column("sequence", LONG, primary_key=True, autoincrement=False),
    Column("sha256", String(64), nullable=False),
    Column("start", LONG, nullable=False),
    Column("end", LONG, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Index("windows_by_time", "received_at"),
)

# All windows of a device and an artifact merged into one (Window.merge), `data` as Window.encode gives it; what is pruned from
# WINDOWS stays in it.
TALLIES = Table(
    "tallies",
    METADATA,
    Column("device", String(64), primary_key=True),
    Column("model", String(100), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("first_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("tallies_by_artifact", "model", "sha256"),
)

# One row: rises with every change of what devices are told or who may speak, so that who keeps it in memory knows.
REVISION = Table(
    "revision",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", LONG, nullable=False),
)

# Who may use the page and the commands; of a secret the digest only.
PEOPLE = Table(
    "people",
    METADATA,
    Column("secret_sha256", String(64), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("role", String(20), nullable=False),
    Column("made_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("revoked_at", Float),
    UniqueConstraint("name", name="people_by_name"),
)

# Who changed what, each entry with the digest of the one before; triggers refuse to change or remove one.
AUDIT = Table(
    "audit",
    METADATA,
    Column("place", LONG, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("before", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
)

# Queries over devices by name.
GROUPS = Table(
    "groups",
    METADATA,
    Column("name", String(100), primary_key=True),
    Column("query", Text, nullable=False),
)

# Artifacts that the signed repository offers or offered, by target name; `offer` is the signed JSON object, `bins` and
# `provenance` the files beside it (histograms, SLSA statement), null where there is none or it was not fetched yet.
ARTIFACTS = Table(
    "artifacts",
    METADATA,
    Column("name", String(300), primary_key=True),
    Column("model", String(100), nullable=False),
    Column("version", LONG, nullable=False),
    Column("profile", String(100), nullable=False),
    Column("is_canary", Boolean, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("length", LONG, nullable=False),
    Column("offer", Text, nullable=False),
    Column("bins", LargeBinary),
    Column("first_seen_at", Float, nullable=False),
    Column("gone_at", Float),
    Column("provenance", LargeBinary),
    Index("artifacts_by_version", "model", "version"),
)

# `plan` is a fleet.rollout.plan.Plan as JSON, `state` one of fleet.rollout.state.
ROLLOUTS = Table(
    "rollouts",
    METADATA,
    Column("id", LONG, primary_key=True, autoincrement=True),
    Column("model", String(100), nullable=False),
    Column("version", LONG, nullable=False),
    Column("plan", Text, nullable=False),
    Column("state", String(40), nullable=False),
    Column("stage", Integer, nullable=False),
    Column("why", Text, nullable=False),
    Column("made_at", Float, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("changed_at", Float, nullable=False),
    Column("stage_since", Float, nullable=False),
)

# Devices of a rollout. `place` in [0, 1) is where chance puts one, `wanted` what is assigned, `before` what an abort gives back
# (Wanted as JSON), `ran` the digest that ran when it was assigned, `running_since` when the device first said that the new one
# runs, `outcome` one of good, bad and silent, `outcome_place` its order of arrival within the rollout, `compared` the values of
# its guards once settled.
MEMBERS = Table(
    "members",
    METADATA,
    Column("rollout", LONG, primary_key=True, autoincrement=False),
    Column("device", String(64), primary_key=True),
    Column("stage", Integer, nullable=False),
    Column("place", Float, nullable=False, server_default="0"),
    Column("assigned_at", Float),
    Column("before", Text),
    Column("wanted", Text),
    Column("ran", String(64)),
    Column("running_since", Float),
    Column("outcome", String(20)),
    Column("outcome_at", Float),
    Column("outcome_place", Integer),
    Column("why", Text),
    Column("compared", Text),
    Index("members_by_stage", "rollout", "stage", "place"),
    Index("members_by_device", "device"),
)

# Requests that devices sent whole, where somebody there consented (fleet.telemetry.sample_file), by the SHA-256 of the file.
# `at` is the device's clock, `reasons` a JSON list of texts, `predicted` the class that the artifact said; `label` is a class
# index or a number, as text, once somebody knows.
SAMPLES = Table(
    "samples",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("device", String(64), nullable=False),
    Column("model", String(100), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("at", Float, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("reasons", Text, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("predicted", Integer),
    Column("bytes", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("label", Text),
    Column("labelled_at", Float),
    Column("labelled_by", Text),
    Index("samples_by_model", "model", "received_at"),
    Index("samples_by_device", "device", "received_at"),
)

# What was predicted beside what was true, as counts by the hour `start` (seconds since 1970) in which it was predicted.
OUTCOMES = Table(
    "outcomes",
    METADATA,
    Column("model", String(100), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("device", String(64), primary_key=True),
    Column("start", LONG, primary_key=True, autoincrement=False),
    Column("predicted", Integer, primary_key=True, autoincrement=False),
    Column("label", Integer, primary_key=True, autoincrement=False),
    Column("count", LONG, nullable=False),
)

# Files of labels that were taken, by the digest of what they say, so that each counts once.
PUSHES = Table(
    "pushes",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("at", Float, nullable=False),
    Column("by", Text, nullable=False),
    Column("rows", LONG, nullable=False),
)

# Where the sequential tests of an artifact stand, by scope (`fleet`, `attribute NAME = VALUE`, `device NAME`): `data` is JSON,
# `through` the newest WINDOWS.received_at that is in it.
DRIFT_STATES = Table(
    "drift_states",
    METADATA,
    Column("model", String(100), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("data", Text, nullable=False),
    Column("through", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
)

# Counts of an artifact over [start, start + seconds) in a scope (Window.encode), and what was judged of them as JSON.
DRIFT_WINDOWS = Table(
    "drift_windows",
    METADATA,
    Column("model", String(100), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("start", LONG, primary_key=True, autoincrement=False),
    Column("seconds", LONG, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("judged", Text),
    Index("drift_windows_by_time", "start"),
)

_IS_OPEN = text("state <> 'closed'")
# What drifted. `key` (model, measure, scope) is that of one alert at a time that is not closed; `evidence` is JSON; `told`
# is the severity and state that the webhook last took.
ALERTS = Table(
    "alerts",
    METADATA,
    Column("id", LONG, primary_key=True, autoincrement=True),
    Column("key", Text, nullable=False),
    Column("model", String(100), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("measure", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("severity", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("first_at", Float, nullable=False),
    Column("last_at", Float, nullable=False),
    Column("windows", LONG, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("acknowledged_by", Text),
    Column("told", Text),
    Index(
        "alerts_once", "key", unique=True, sqlite_where=text("state <> 'closed'"), postgresql_where=text("state <> 'closed'")
    ),
    Index("alerts_by_model", "model", "last_at"),
)

# When a model is to be trained again (fleet.retrain), as text; by model.
POLICIES = Table(
    "policies",
    METADATA,
    Column("model", String(100), primary_key=True),
    Column("text", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("by", Text, nullable=False),
)

# Trainings that a policy or a person asked for. `alert` is the one that led to it, `steps` what was done as JSON, `worker` who
# leased it until `lease_until`, `rollout` what came of it; of one `key` there is one.
RETRAININGS = Table(
    "retrainings",
    METADATA,
    Column("id", LONG, primary_key=True, autoincrement=True),
    Column("model", String(100), nullable=False),
    Column("state", String(40), nullable=False),
    Column("why", Text, nullable=False),
    Column("alert", LONG),
    Column("made_at", Float, nullable=False),
    Column("changed_at", Float, nullable=False),
    Column("steps", Text, nullable=False),
    Column("worker", Text),
    Column("lease_until", Float),
    Column("rollout", LONG),
    Column("key", String(300)),
    UniqueConstraint("key", name="retrainings_once"),
    Index("retrainings_by_model", "model", "made_at"),
)

# Measurings that people asked for: a signed artifact, with its offer then, on devices. `threads` and `batches` are JSON
# lists; `query` is what the devices were named by; nothing of it is done from `expires_at` on, or once it was cancelled.
BENCHES = Table(
    "benches",
    METADATA,
    Column("id", LONG, primary_key=True, autoincrement=True),
    Column("name", String(300), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("offer", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("threads", Text, nullable=False),
    Column("batches", Text, nullable=False),
    Column("windows", Integer, nullable=False),
    Column("made_at", Float, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("cancelled_at", Float),
    Column("cancelled_by", Text),
    Index("benches_by_artifact", "sha256", "id"),
)

# One device's part with one number of threads and one batch, open until `ended_at`. `outcome` is what the device told then
# (fleet.protocol.bench_job) as JSON; it is null where the artifact was not signed any more.
BENCH_RUNS = Table(
    "bench_runs",
    METADATA,
    Column("id", LONG, primary_key=True, autoincrement=True),
    Column("bench", LONG, nullable=False),
    Column("device", String(64), nullable=False),
    Column("threads", Integer, nullable=False),
    Column("batch", Integer, nullable=False),
    Column("taken_at", Float),
    Column("ended_at", Float),
    Column("result", String(20)),
    Column("outcome", Text),
    Index("bench_runs_of_bench", "bench"),
    Index("bench_runs_open", "device", sqlite_where=text("ended_at IS NULL"), postgresql_where=text("ended_at IS NULL")),
)
