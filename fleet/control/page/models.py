"""What runs on a device, in words: versions that people know in place of digests, and how an update stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from ..attributes import Described
from ..tables import ARTIFACTS
from .views import Running
from .words import NONE, Pill, digest, update_pill

NEWEST = "the newest that fits"


def versions_of(connection: Connection) -> dict[str, int]:
    """Version of every artifact that the repository offers or offered, by SHA-256."""
    return {row.sha256: row.version for row in connection.execute(select(ARTIFACTS.c.sha256, ARTIFACTS.c.version))}


def version_text(sha256: str | None, versions: Mapping[str, int]) -> str:
    """ "9", the begin of the digest for what the repository never offered, "nothing" for None."""
    if sha256 is None:
        return "nothing"
    return str(versions[sha256]) if sha256 in versions else f"unknown {digest(sha256)[:8]}"


def running(described: Described, versions: Mapping[str, int]) -> list[Running]:
    """A row for each model of a device, in the order of their names."""
    return [_running(model, told, versions) for model, told in sorted(described.models.items())]


def _running(model: str, told: Mapping[str, Mapping[str, Any] | None], versions: Mapping[str, int]) -> Running:
    wanted, said = told["wanted"], told["said"]
    if said is None:
        return Running(model, NONE, None, _wanted(wanted, versions), Pill("told nothing yet", "quiet", "○"), "", None)
    return Running(
        model=model,
        version=version_text(said["running"], versions),
        sha256=said["running"],
        wanted=_wanted(wanted, versions),
        pill=update_pill(said["state"], said["result"]),
        why=said["why"],
        at=said["received_at"],
    )


def _wanted(wanted: Mapping[str, Any] | None, versions: Mapping[str, int]) -> str:
    if wanted is None:
        return NONE
    if wanted["is_aborted"]:
        return "taken back"
    text = NEWEST if wanted["sha256"] is None else version_text(wanted["sha256"], versions)
    return text if wanted["rollout"] is None else f"{text} (rollout {wanted['rollout']})"
