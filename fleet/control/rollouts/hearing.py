"""What members say and count, as outcomes: derived from states and tallies, never from what was assigned.

good      said, after it was assigned, that the version runs, and says so still `observe_s` later
bad       reported a failure of the version, or went back to another one, also when it was good before; or began and then
          said nothing for `silent_s`
silent    said nothing of the version within `silent_s`; whatever it says later counts then
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, func, or_, select, update

from ....core.canonical import dumps
from ...protocol.window import Window
from ...rollout.guard import Bins, value_of
from ...rollout.judge import Word
from ...rollout.plan import Plan
from ..database import in_parts
from ..tables import ASSIGNMENTS, MEMBERS, REPORTS, STATES, TALLIES
from .records import Rollout
from .shelf import bins_of

# States in which the version that runs is not on trial.
_SETTLED = ("Idle", "ArtifactCommit_Leave", "Cleanup")
_ROLLING_BACK = ("ArtifactRollback", "ArtifactRollbackReboot", "ArtifactVerifyRollbackReboot")


@dataclass(frozen=True)
class Member:
    """What is known of an assigned member whose outcome may change: `sha256` is what it shall run, times as in the tables."""

    sha256: str
    assigned_at: float
    running_since: float | None
    outcome: Word | None
    failed: str | None = None  # why, where it reported a failure of the version since, which may not be its last word


@dataclass(frozen=True)
class Said:
    """What its device said last of the model, and when that came."""

    running: str | None
    target: str | None
    state: str
    result: str | None
    why: str
    received_at: float


@dataclass(frozen=True)
class Heard:
    """What follows: outcome, why in one clause, since when the version runs."""

    outcome: Word | None
    why: str = ""
    running_since: float | None = None


def hear(plan: Plan, member: Member, said: Said | None, now: float) -> Heard:
    """The outcome of a member at a moment; pure."""
    if member.failed is not None:
        return Heard("bad", member.failed, member.running_since)
    is_late = now - member.assigned_at >= plan.silent_s
    if said is None or said.received_at < member.assigned_at:
        if is_late:
            return Heard("silent", f"it has said nothing for {_time(plan.silent_s)}")
        return Heard(member.outcome, "", member.running_since)
    if said.target == member.sha256 and said.result not in (None, "SUCCESSFUL"):
        return Heard("bad", said.why or str(said.result), member.running_since)
    if said.running == member.sha256 and said.state in _SETTLED:
        since = said.received_at if member.running_since is None else member.running_since
        if now - since >= plan.observe_s:
            return Heard("good", f"it has run the version for {_time(plan.observe_s)}", since)
        return Heard(None, "", since)
    if member.running_since is not None and _went_back(said, member):
        return Heard(
            "bad", f"it went back to {str(said.running)[:12]}: {said.why or 'it does not say why'}", member.running_since
        )
    if said.target == member.sha256 or member.running_since is not None:
        if now - said.received_at >= plan.silent_s:
            return Heard("bad", f"it began, and has said nothing for {_time(plan.silent_s)}", member.running_since)
        return Heard(None, "", member.running_since)
    if is_late:
        return Heard("silent", said.why or f"it has not begun within {_time(plan.silent_s)}")
    return Heard(member.outcome, "")


def _went_back(said: Said, member: Member) -> bool:
    """Of a member that ran the version already: also where it tries the version anew, something else answers by then."""
    return said.state in _ROLLING_BACK or said.running not in (None, member.sha256)


@dataclass(frozen=True)
class Hearing:
    """Changes of members, as columns."""

    outcomes: Sequence[Mapping[str, Any]]
    compared: Sequence[Mapping[str, Any]]

    @property
    def has_news(self) -> bool:
        """Whether there is something to write."""
        return bool(self.outcomes or self.compared)


def listen(connection: Connection, rollout: Rollout, now: float, since: float) -> Hearing:
    """What is to be written down by what devices said or counted from the time `since` on, and by time itself; only reads."""
    outcomes = []
    rows = [*_open(connection, rollout, now, since), *_gone_back(connection, rollout, since)]
    failures = _failures(connection, rollout, rows)
    for row in rows:
        if row.holder != rollout.id or row.is_aborted:
            if row.outcome is None:
                told = {
                    "outcome": "silent",
                    "why": "somebody assigned something else to it",
                    "running_since": row.running_since,
                }
                outcomes.append({"key": row.device, **told, "outcome_at": now})
            continue
        failed = failures.get(row.device)
        member = Member(json.loads(row.wanted)["sha256"], row.assigned_at, row.running_since, row.outcome, failed)
        said = None
        if row.state is not None:
            said = Said(row.running, row.target, row.state, row.result, row.said_why, row.received_at)
        heard = hear(rollout.plan, member, said, now)
        if (heard.outcome, heard.running_since) != (row.outcome, row.running_since):
            told = {"outcome": heard.outcome, "why": heard.why, "running_since": heard.running_since}
            outcomes.append({"key": row.device, **told, "outcome_at": now if heard.outcome is not None else None})
    return Hearing(outcomes, _comparisons(connection, rollout, since))


def write_down(connection: Connection, rollout: Rollout, hearing: Hearing) -> None:
    """Keep what was heard, in its order of arrival."""
    highest = select(func.max(MEMBERS.c.outcome_place)).where(MEMBERS.c.rollout == rollout.id)
    place = connection.execute(highest).scalar() or 0
    numbered = []
    for row in hearing.outcomes:
        place += row["outcome"] is not None
        numbered.append({**row, "outcome_place": None if row["outcome"] is None else place})
    which = MEMBERS.c.rollout == rollout.id, MEMBERS.c.device == bindparam("key")
    for rows in (numbered, hearing.compared):
        if rows:
            values: dict[str, Any] = {name: bindparam(name) for name in rows[0] if name != "key"}
            connection.execute(update(MEMBERS).where(*which).values(values), list(rows))


def _columns() -> list[Any]:
    return [
        MEMBERS.c.device,
        MEMBERS.c.wanted,
        MEMBERS.c.assigned_at,
        MEMBERS.c.running_since,
        MEMBERS.c.outcome,
        STATES.c.running,
        STATES.c.target,
        STATES.c.state,
        STATES.c.result,
        STATES.c.why.label("said_why"),
        STATES.c.received_at,
        ASSIGNMENTS.c.rollout.label("holder"),
        ASSIGNMENTS.c.is_aborted,
    ]


def _open(connection: Connection, rollout: Rollout, now: float, since: float) -> Sequence[Row[Any]]:
    """Assigned members without an outcome, and silent ones, who spoke or whose time is up."""
    said = (STATES.c.device == MEMBERS.c.device) & (STATES.c.model == rollout.model)
    silent_s, observe_s = rollout.plan.silent_s, rollout.plan.observe_s
    is_due = or_(
        MEMBERS.c.assigned_at <= now - silent_s,
        MEMBERS.c.running_since <= now - observe_s,
    )
    spoke = STATES.c.received_at >= since
    mine = (ASSIGNMENTS.c.device == MEMBERS.c.device) & (ASSIGNMENTS.c.model == rollout.model)
    is_taken = or_(ASSIGNMENTS.c.rollout.is_distinct_from(rollout.id), ASSIGNMENTS.c.is_aborted)
    is_open = or_(and_(MEMBERS.c.outcome.is_(None), or_(spoke, is_due, is_taken)), and_(MEMBERS.c.outcome == "silent", spoke))
    return connection.execute(
        select(*_columns())
        .outerjoin(STATES, said)
        .outerjoin(ASSIGNMENTS, mine)
        .where(MEMBERS.c.rollout == rollout.id, MEMBERS.c.assigned_at.is_not(None), is_open)
        .order_by(STATES.c.received_at, MEMBERS.c.device)
    ).all()


def _gone_back(connection: Connection, rollout: Rollout, since: float) -> Sequence[Row[Any]]:
    """Good members that say by now that something else runs, while the rollout's assignment stands."""
    said = (STATES.c.device == MEMBERS.c.device) & (STATES.c.model == rollout.model)
    mine = (ASSIGNMENTS.c.device == MEMBERS.c.device) & (ASSIGNMENTS.c.model == rollout.model)
    return connection.execute(
        select(*_columns())
        .join(STATES, said)
        .join(ASSIGNMENTS, mine)
        .where(
            MEMBERS.c.rollout == rollout.id,
            MEMBERS.c.outcome == "good",
            ASSIGNMENTS.c.rollout == rollout.id,
            ASSIGNMENTS.c.is_aborted.is_(False),
            STATES.c.running != ASSIGNMENTS.c.sha256,
            STATES.c.received_at >= since,
        )
        .order_by(STATES.c.received_at, MEMBERS.c.device)
    ).all()


def _failures(connection: Connection, rollout: Rollout, rows: Sequence[Row[Any]]) -> dict[str, str]:
    """Why the version failed on those of these members that reported so since they were assigned it.

    All reports are looked at: with its next poll a device says that it does not try again, and that would be the last word.
    """
    members = {row.device: (json.loads(row.wanted)["sha256"], row.assigned_at) for row in rows}
    found: dict[str, str] = {}
    for names in in_parts(list(members)):
        told = connection.execute(
            select(REPORTS.c.device, REPORTS.c.target, REPORTS.c.result, REPORTS.c.why, REPORTS.c.received_at)
            .where(
                REPORTS.c.device.in_(names),
                REPORTS.c.model == rollout.model,
                REPORTS.c.result.is_not(None),
                REPORTS.c.result != "SUCCESSFUL",
            )
            .order_by(REPORTS.c.place)
        )
        for row in told:
            sha256, assigned_at = members[row.device]
            if row.target == sha256 and row.received_at >= assigned_at:
                found.setdefault(row.device, row.why or row.result)
    return found


def _comparisons(connection: Connection, rollout: Rollout, since: float) -> list[dict[str, Any]]:
    """Values of the guards of members that are good by what is written down and have counted enough, each settled once."""
    kinds = [guard.kind for guard in rollout.plan.guards]
    if not kinds:
        return []
    counted = select(TALLIES.c.device).where(TALLIES.c.model == rollout.model, TALLIES.c.updated_at >= since)
    which = (
        MEMBERS.c.rollout == rollout.id,
        MEMBERS.c.outcome == "good",
        MEMBERS.c.ran.is_not(None),
        or_(MEMBERS.c.outcome_at >= since, MEMBERS.c.device.in_(counted)),
    )
    rows = connection.execute(
        select(MEMBERS.c.device, MEMBERS.c.wanted, MEMBERS.c.ran)
        .where(*which, MEMBERS.c.compared.is_(None))
        .order_by(MEMBERS.c.outcome_place)
    ).all()
    tallies = _tallies(connection, rollout.model, [row.device for row in rows])
    place = _settled(connection, rollout)
    found: list[dict[str, Any]] = []
    bins: Mapping[str, Bins] | None = None
    for row in rows:
        sha256 = json.loads(row.wanted)["sha256"]
        old, new = tallies.get((row.device, row.ran)), tallies.get((row.device, sha256))
        if old is None or new is None:
            continue
        bins = bins_of(connection, rollout.model) if bins is None and "confidence" in kinds else bins
        held = (None, None) if bins is None else (bins.get(row.ran), bins.get(sha256))
        values = {kind: value for kind in kinds if (value := value_of(kind, old, new, held)) is not None}
        if values:
            place += 1
            found.append({"key": row.device, "compared": dumps({"place": place, "values": values}).decode()})
    return found


def _settled(connection: Connection, rollout: Rollout) -> int:
    which = MEMBERS.c.rollout == rollout.id, MEMBERS.c.compared.is_not(None)
    return int(connection.execute(select(func.count()).select_from(MEMBERS).where(*which)).scalar_one())


def _tallies(connection: Connection, model: str, devices: Sequence[str]) -> dict[tuple[str, str], Window]:
    found = {}
    for names in in_parts(devices):
        which = TALLIES.c.model == model, TALLIES.c.device.in_(names)
        for row in connection.execute(select(TALLIES.c.device, TALLIES.c.sha256, TALLIES.c.data).where(*which)):
            found[row.device, row.sha256] = Window.decode(row.data)
    return found


def _time(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
