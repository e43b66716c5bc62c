"""The page of one rollout: where it stands and why, what may be done, each stage, and the evidence of its tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from sqlalchemy import Connection, RowMapping, case, func, select

from ...rollout.plan import Plan
from ...rollout.state import ACTIVE, RolloutState, may, verbs_of
from .. import audit
from ..api.parts import Parts
from ..people import Person
from ..tables import AUDIT, MEMBERS, ROLLOUTS
from .evidence import figures_of
from .marks import outcome_bar
from .records import audit_row
from .rollouts import rollout_row, stage_counts, stage_name
from .views import AuditRow, Counts, MemberRow, Pairs, RolloutRow, RolloutView, StageView, Verb
from .words import Pill, count, duration, outcome_pill, plural, rollout_pill

_MEMBERS = 25
_HISTORY = 30
_LEFT_OUT = 200
_LABELS = {
    "approve": ("Approve", "The next stage begins."),
    "resume": ("Resume", "Devices are assigned again."),
    "pause": ("Pause", "No more devices are assigned until it is resumed."),
    "promote": ("Promote", "The next stage begins without waiting for a proof."),
    "abort": ("Abort", "Every device gets back what it had before."),
}
_ORDER = tuple(_LABELS)


def rollout_view(parts: Parts, person: Person, number: int, is_all: bool) -> RolloutView | None:
    """A rollout as `person` may see and change it, or None for one that is none.

    With `is_all` also who takes no part and why, for which every device is looked at.
    """
    with parts.database.reading() as connection:
        row = connection.execute(select(ROLLOUTS).where(ROLLOUTS.c.id == number)).mappings().first()
        if row is None:
            return None
        counts = stage_counts(connection, [number]).get(number, {})
        members, more = _members(connection, number)
        history, decisions = _history(connection, number), _decisions(connection, number)
    plan = Plan.from_json(json.loads(row["plan"]))
    shown = rollout_row(row, counts.values())
    evidence = parts.rollouts.evidence(number)
    left_out = sorted(parts.rollouts.left_out(number).items()) if is_all else None
    return RolloutView(
        row=shown,
        verbs=_verbs(shown, row["state"], person),
        stages=_stages(plan, row, counts, decisions),
        evidence_of=stage_name(evidence.stage),
        figures=figures_of(plan, evidence),
        members=members,
        more_members=more,
        left_out=None if left_out is None else left_out[:_LEFT_OUT],
        more_left_out=0 if left_out is None else max(len(left_out) - _LEFT_OUT, 0),
        plan=_plan(plan),
        history=history,
    )


def _verbs(row: RolloutRow, state: str, person: Person) -> list[Verb]:
    """What the person may do now; what cannot be taken back with a warning."""
    known = verbs_of(cast(RolloutState, state))
    found = []
    for name in _ORDER:
        if name in known and may(person.role, name):
            label, explained = _LABELS[name]
            warning = ""
            if name == "abort":
                had = row.counts.members - row.counts.left
                whom = f"{plural(had, 'device')} that {'was' if had == 1 else 'were'} assigned version {row.version}"
                warning = f"{whom} {'gets' if had == 1 else 'get'} back what ran before. An aborted rollout cannot be resumed."
            found.append(Verb(name, label, explained, warning))
    return found


def _stages(plan: Plan, row: RowMapping, counts: Mapping[int, Counts], decisions: Mapping[int, str]) -> list[StageView]:
    found = []
    for place, stage in enumerate(plan.stages):
        mine = counts.get(place, Counts())
        pill, why = _stage_pill(row, place), decisions.get(place, "")
        if place == row["stage"] and row["state"] not in ACTIVE:
            why = row["why"]
        elif place > row["stage"] and row["state"] in ACTIVE:
            why = "Its devices are chosen when it begins."
        found.append(StageView(stage_name(place), str(stage), pill, mine, outcome_bar(mine), why))
    return found


def _stage_pill(row: RowMapping, place: int) -> Pill:
    """How a stage stands: before the current one passed, behind it not begun."""
    if row["state"] == "completed" or place < row["stage"]:
        return Pill("passed", "good", "✓")
    if place == row["stage"]:
        return rollout_pill(row["state"])
    return Pill("not reached", "quiet", "–") if row["state"] == "aborted" else rollout_pill("created")


def _members(connection: Connection, number: int) -> tuple[list[MemberRow], int]:
    """Assigned devices, what went wrong first, then what answered last; and how many more there are."""
    which = MEMBERS.c.rollout == number, MEMBERS.c.assigned_at.is_not(None)
    total = connection.execute(select(func.count()).select_from(MEMBERS).where(*which)).scalar_one()
    rank = case({"bad": 0, "silent": 1}, value=MEMBERS.c.outcome, else_=2)
    rows = connection.execute(
        select(MEMBERS)
        .where(*which)
        .order_by(rank, func.coalesce(MEMBERS.c.outcome_at, MEMBERS.c.assigned_at).desc(), MEMBERS.c.device)
        .limit(_MEMBERS)
    )
    found = [
        MemberRow(
            row.device, stage_name(row.stage), outcome_pill(row.outcome), row.why or "", row.outcome_at or row.assigned_at
        )
        for row in rows
    ]
    return found, total - len(found)


def _plan(plan: Plan) -> Pairs:
    told = [
        ("Devices", plan.query or "every device"),
        ("Stages", ", then ".join(map(str, plan.stages))),
        ("Failures", f"{100 * plan.allowed:.4g} % allowed, {100 * plan.unacceptable:.4g} % unacceptable"),
        ("Error level", f"{100 * plan.alpha:.4g} % for each kind of mistake"),
        ("Guards", "; ".join(map(str, plan.guards)) or "none"),
        ("Looked at for", duration(plan.observe_s)),
        ("Silent after", duration(plan.silent_s)),
        ("When undecided", "it waits for a person" if plan.when_undecided == "pause" else "it goes on"),
        ("Between stages", "a person approves" if plan.needs_approval else "it goes on by itself"),
    ]
    if plan.windows:
        told.append(("Maintenance windows", "; ".join(map(str, plan.windows))))
    if plan.rate is not None:
        told.append(("Assigned at most", f"{count(plan.rate)} a minute"))
    if plan.deadline_s is not None:
        told.append(("An update may take", duration(plan.deadline_s)))
    return told


def _decisions(connection: Connection, number: int) -> dict[int, str]:
    """Why each stage was passed: what the entry says with which the next one began."""
    begun = AUDIT.c.subject == f"rollout {number}", AUDIT.c.action == "begin-stage"
    found = {}
    for row in connection.execute(select(AUDIT.c.details).where(*begun).order_by(AUDIT.c.place)):
        details = json.loads(row.details)
        found[details["stage"] - 1] = str(details["why"]).partition(": ")[2]
    return found


def _history(connection: Connection, number: int) -> Sequence[AuditRow]:
    rows = connection.execute(
        select(AUDIT).where(AUDIT.c.subject == f"rollout {number}").order_by(AUDIT.c.place.desc()).limit(_HISTORY)
    )
    return [
        audit_row(
            audit.Entry(row.place, row.at, row.actor, row.action, row.subject, json.loads(row.details), row.before, row.digest)
        )
        for row in rows
    ]
