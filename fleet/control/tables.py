"""The control plane's tables. Digests are lower-case hexadecimal, times seconds since 1970 by the server's clock."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary, MetaData, String, Table, Text, UniqueConstraint

METADATA = MetaData()


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

# `public_key` is the one that signs now; the device's name comes from its first.
DEVICES = Table(
    "devices",
    METADATA,
    Column("device", String(64), primary_key=True),
    Column("public_key", LargeBinary(32), nullable=False),
    Column("facts", Text, nullable=False),
    Column("enrolled_at", Float, nullable=False),
    Column("revoked_at", Float),
    Column("seen_at", Float),
)

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
)

# Every report that was taken, once; `place` is the order of arrival.
REPORTS = Table(
    "reports",
    METADATA,
    Column("place", Integer, primary_key=True, autoincrement=True),
    Column("device", String(64), nullable=False),
    Column("boot", String(100), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("model", String(100), nullable=False),
    *_said(),
    Column("at", Float, nullable=False),
    Column("received_at", Float, nullable=False),
    UniqueConstraint("device", "boot", "sequence"),
)

# The starts of each device's agent that were heard of, and their order (fleet.control.order).
STARTS = Table(
    "starts",
    METADATA,
    Column("device", String(64), primary_key=True),
    Column("boot", String(100), primary_key=True),
    Column("era", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("place", Integer, nullable=False),
    Column("first_at", Float, nullable=False),
)

# What each model of each device was last said to be: derived from reports, never from what was assigned.
STATES = Table(
    "states",
    METADATA,
    Column("device", String(64), primary_key=True),
    Column("model", String(100), primary_key=True),
    Column("boot", String(100), nullable=False),
    Column("sequence", Integer, nullable=False),
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
    Column("highest", Integer, nullable=False),
)

# Windows of telemetry as they came (fleet.protocol.window), each once.
WINDOWS = Table(
    "windows",
    METADATA,
    Column("device", String(64), primary_key=True),
    Column("stream", String(100), primary_key=True),
    Column("model", String(100), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
