"""The engine: looks at the world now and then, and takes the steps that follow from it.

A step is decided on what one moment of the database says, and done in one transaction that decides again before it writes. So a
process that dies leaves the step done or not done, and two servers on one database do each step once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, select

from ....core.errors import EdgewrightError
from ...rollout.judge import Decision, Evidence
from ...rollout.maintenance import opens_in
from ...rollout.state import happen
from ..tables import ASSIGNMENTS, DEVICES, MEMBERS, REVISION
from . import steps
from .assigning import may_assign
from .hearing import listen, write_down
from .population import late, population
from .records import Rollout, alive, judged, load, save, to_assign
from .shelf import Artifacts, artifacts_of, learn

if TYPE_CHECKING:
    from .store import Rollouts

log = logging.getLogger("edgewright.control")

Step = Callable[[Connection], object]
_MOST_STEPS = 200  # of one rollout in one look, so that others get their turn


class Engine:
    """Carries rollouts forward. One thread at a time; other processes may do the same on the same database."""

    def __init__(self, rollouts: Rollouts, artifacts: Artifacts, *, refresh_s: float = 60.0, look_s: float = 5.0) -> None:
        """`refresh_s`: how often the repository is asked, `look_s`: how often devices' answers are looked for, in seconds."""
        self._database = rollouts.database
        self._artifacts = artifacts
        self._refresh_s, self._look_s = refresh_s, look_s
        self._learnt_at: float | None = None
        self._looked: dict[tuple[int, int], int] = {}  # up to which revision newcomers were looked at, by rollout and stage

    def tick(self) -> float:
        """Take all steps that are due; seconds until the next look. Raises StoreError when the database cannot be used."""
        self._learn()
        with self._database.reading() as connection:
            numbers = alive(connection)
        waits = [self._advance(number) for number in numbers]
        return max(0.0, min([*waits, self._refresh_s]))

    def _learn(self) -> None:
        now = self._database.clock.monotonic()
        if self._learnt_at is not None and now - self._learnt_at < self._refresh_s:
            return
        try:
            learn(self._database, self._artifacts)
            self._learnt_at = now
        except EdgewrightError as error:
            log.warning("what is signed cannot be learnt now: %s", error)

    def _advance(self, number: int) -> float:
        for _ in range(_MOST_STEPS):
            with self._database.reading() as connection:
                step, wait_s = self._next(connection, number)
            if step is None:
                return wait_s
            with self._database.transaction() as connection:
                step, _ = self._next(connection, number)
                if step is not None:
                    step(connection)
        return 0.0

    def _next(self, connection: Connection, number: int) -> tuple[Step | None, float]:
        """The step that is due, or None and in how many seconds to look again."""
        rollout = load(connection, number)
        if rollout is None or rollout.state == "aborted":
            return None, self._refresh_s
        if rollout.state == "created":
            return self._begin(connection, rollout), self._look_s
        now = self._database.clock.now()
        if rollout.state == "completed":
            step = self._late(connection, rollout)
            return (step, 0.0) if step is not None else self._assign(connection, rollout, now, self._refresh_s)
        if rollout.stage < 0:  # paused before it began
            return None, self._look_s
        hearing = listen(connection, rollout, now)
        if hearing.has_news:
            return lambda writing: write_down(writing, rollout, hearing), 0.0
        wait_s = self._look_s if hearing.look_s is None else min(self._look_s, max(0.1, hearing.look_s))
        evidence, decision = judged(connection, rollout)
        if decision.verdict == "abort":
            return lambda writing: steps.abort(writing, self._database, rollout, decision.why, steps.ENGINE), 0.0
        if rollout.state != "running":
            return None, wait_s
        step = self._late(connection, rollout) or self._go_on(rollout, evidence, decision)
        return (step, 0.0) if step is not None else self._assign(connection, rollout, now, wait_s)

    def _begin(self, connection: Connection, rollout: Rollout) -> Step | None:
        """Begin when there is something to bring and somebody to bring it to; until then say what is missing."""
        if not artifacts_of(connection, rollout.model, rollout.version):
            return self._say(rollout, f"version {rollout.version} of {rollout.model!r} is not signed yet.")
        found = population(connection, self._database.clock.now(), rollout.plan)
        if not max(found.sizes(rollout.plan)):
            left_out = next(iter(sorted(set(found.left_out.values()))), "the query means none")
            return self._say(rollout, f"no device can run version {rollout.version}: {left_out}.")
        happen(rollout.state, "begin")
        return lambda writing: steps.begin_stage(writing, self._database, rollout, 0, "", steps.ENGINE)

    def _say(self, rollout: Rollout, why: str) -> Step | None:
        return None if rollout.why == why else lambda writing: save(writing, self._database, rollout, why=why)

    def _late(self, connection: Connection, rollout: Rollout) -> Step | None:
        """Devices that came after the stage began join it; a completed rollout that is for all takes who has not the model."""
        key, revision = (rollout.id, rollout.stage), connection.execute(select(REVISION.c.number)).scalar_one()
        newcomers = connection.execute(_newcomers(rollout, self._looked.get(key, -1))).scalars()
        fresh: set[str] = set(newcomers)
        found = population(connection, self._database.clock.now(), rollout.plan, fresh) if fresh else None
        if found is None or not late(rollout, found):
            self._looked[key] = revision
            return None
        return lambda writing: steps.let_join(writing, self._database, rollout, found)

    def _go_on(self, rollout: Rollout, evidence: Evidence, decision: Decision) -> Step | None:
        """What follows from a judgement that does not abort."""
        is_closed = not any(item.pending or item.to_assign for item in evidence.counts)
        if rollout.is_last_stage:
            if not is_closed:
                return None
            if decision.verdict == "promote" or not evidence.counts[-1].assigned:
                return self._move(rollout, "complete", decision.why if evidence.counts[-1].assigned else "all devices have it.")
        elif decision.verdict == "promote":
            return self._promote(rollout, decision.why)
        if decision.verdict != "undecided":
            return None
        if rollout.plan.when_undecided == "pause":
            return self._move(rollout, "pause", f"undecided: {decision.why.rstrip('.')}; promote or abort it.")
        why = f"undecided, and promoted by the plan's word: {decision.why}"
        return self._move(rollout, "complete", why) if rollout.is_last_stage else self._promote(rollout, why)

    def _promote(self, rollout: Rollout, why: str) -> Step:
        if rollout.plan.needs_approval:
            return self._move(rollout, "ask", f"{why.rstrip('.')}; approve the next stage.")
        happen(rollout.state, "next")
        return lambda writing: steps.begin_stage(writing, self._database, rollout, rollout.stage + 1, why, steps.ENGINE)

    def _move(self, rollout: Rollout, event: str, why: str) -> Step:
        state = happen(rollout.state, event)  # type: ignore[arg-type]
        action = {"complete": "complete-rollout", "pause": "pause-rollout", "ask": "ask-for-approval"}[event]
        return lambda writing: steps.move(writing, self._database, rollout, state, why, steps.ENGINE, action)

    def _assign(self, connection: Connection, rollout: Rollout, now: float, wait_s: float) -> tuple[Step | None, float]:
        """Assign members that wait, when windows and rate allow."""
        if not to_assign(connection, rollout):
            return None, wait_s
        closed_s = opens_in(rollout.plan.windows, now)
        if closed_s > 0:
            return None, min(wait_s, closed_s)
        most, rest_s = may_assign(connection, rollout, now)
        if most == 0:
            return None, min(wait_s, rest_s)
        return lambda writing: steps.assign(writing, self._database, rollout, most), 0.0


def _newcomers(rollout: Rollout, after: int) -> Select[Any]:
    """Devices that changed after a revision, are no members, and came since the stage began or have not the model at all."""
    members = select(MEMBERS.c.device).where(MEMBERS.c.rollout == rollout.id)
    query = select(DEVICES.c.device).where(DEVICES.c.changed > after, DEVICES.c.device.not_in(members))
    if rollout.state == "completed":
        query = query.where(DEVICES.c.device.not_in(select(ASSIGNMENTS.c.device).where(ASSIGNMENTS.c.model == rollout.model)))
    stage = rollout.plan.stages[rollout.stage]
    if rollout.state == "completed" and stage.count is None and stage.share == 1:
        return query
    return query.where(DEVICES.c.enrolled_at >= rollout.stage_since)
