"""The engine: looks at the world now and then, and takes the steps that follow from it.

A step is decided on what one moment of the database says, and done in one transaction that decides again before it writes. So a
process that dies leaves the step done or not done, and two servers on one database do each step once.
"""

from __future__ import annotations

import logging
import math
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
from .population import Population, late, population
from .records import Rollout, alive, heard_of, judged, load, save, to_assign
from .shelf import Artifacts, artifacts_of, learn

if TYPE_CHECKING:
    from .store import Rollouts

log = logging.getLogger("edgewright.control")

Step = Callable[[Connection], object]
_LATE_S = 120.0  # what a device said is written within this of the time that is written with it
_MOST_STEPS = 200  # of one rollout in one look, so that others get their turn


class Engine:
    """Carries rollouts forward. One thread at a time; other processes may do the same on the same database."""

    def __init__(self, rollouts: Rollouts, artifacts: Artifacts, *, refresh_s: float = 60.0, look_s: float = 5.0) -> None:
        """`refresh_s`: how often the repository is asked, `look_s`: how often devices' answers are looked for, in seconds."""
        self._database = rollouts.database
        self._artifacts = artifacts
        self._refresh_s, self._look_s = refresh_s, look_s
        self._learnt_at: float | None = None
        self._judged: dict[int, tuple[object, ...]] = {}  # what the last judgement that nothing follows from rests on
        self._tried_at: dict[int, float] = {}  # when a rollout last meant no device
        self._found: dict[tuple[int, int], Population] = {}  # whom a stage means, from deciding on a step until it is done
        self._heard_at: dict[int, float] = {}  # when nothing that devices said was left to be written down, by rollout
        self._looked: dict[tuple[int, int], int] = {}  # up to which revision newcomers were looked at, by rollout and stage

    def tick(self) -> float:
        """Take all steps that are due; seconds until the next look. Raises StoreError when the database cannot be used.

        A rollout that a person makes or lets go on meanwhile is seen at the next look.
        """
        self._learn()
        with self._database.reading() as connection:
            numbers = alive(connection)
        waits = [self._advance(number) for number in numbers]
        return max(0.0, min([*waits, self._look_s]))

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
            self._found.clear()
            with self._database.reading() as connection:
                step, wait_s = self._next(connection, number)
            if step is None:
                return min(wait_s, self._hand_out(number))
            with self._database.transaction() as connection:
                step, _ = self._next(connection, number)
                if step is not None:
                    step(connection)
        return 0.0

    def _next(self, connection: Connection, number: int) -> tuple[Step | None, float]:
        """The step that is due, or None and in how many seconds to look again."""
        rollout = load(connection, number)
        if rollout is None or rollout.state == "aborted":
            return None, self._look_s
        if rollout.state == "created":
            return self._begin(connection, rollout), self._look_s
        now = self._database.clock.now()
        if rollout.state == "completed":
            return self._late(connection, rollout), self._look_s
        if rollout.stage < 0:  # paused before it began
            return None, self._look_s
        heard_at = self._heard_at.get(number, -math.inf)
        hearing = listen(connection, rollout, now, heard_at - _LATE_S if heard_at <= now else -math.inf)
        if hearing.has_news:
            return lambda writing: write_down(writing, rollout, hearing), 0.0
        self._heard_at[number] = now
        basis = heard_of(connection, rollout)
        if self._judged.get(number) == (*basis, rollout.state):
            return self._after(connection, rollout, None)
        evidence, decision = judged(connection, rollout)
        if decision.verdict == "abort":
            return lambda writing: steps.abort(writing, self._database, rollout, decision.why, steps.ENGINE), 0.0
        step = self._go_on(connection, rollout, evidence, decision) if rollout.state == "running" else None
        if step is None:
            self._judged[number] = (*basis, rollout.state)
        return self._after(connection, rollout, step)

    def _after(self, connection: Connection, rollout: Rollout, step: Step | None) -> tuple[Step | None, float]:
        """What a judgement leads to, or else newcomers join."""
        return (step or self._late(connection, rollout) if rollout.state == "running" else None), self._look_s

    def _begin(self, connection: Connection, rollout: Rollout) -> Step | None:
        """Begin when there is something to bring and somebody to bring it to; until then say what is missing."""
        if not artifacts_of(connection, rollout.model, rollout.version):
            return self._say(rollout, f"version {rollout.version} of {rollout.model!r} is not signed yet.")
        now = self._database.clock.monotonic()
        if now - self._tried_at.get(rollout.id, -math.inf) < self._refresh_s:
            return None
        found = self._meant(connection, rollout, 0)
        if not max(found.sizes(rollout.plan)):
            left_out = next(iter(sorted(set(found.left_out.values()))), "the query means none")
            step = self._say(rollout, f"no device can run version {rollout.version}: {left_out}.")
            if step is None:
                self._tried_at[rollout.id] = now
            return step
        happen(rollout.state, "begin")
        return lambda writing: steps.begin_stage(writing, self._database, rollout, 0, "", steps.ENGINE, found)

    def _meant(self, connection: Connection, rollout: Rollout, stage: int) -> Population:
        """Whom the stage means, looked up once for deciding and doing: nobody waits for it while it is written."""
        key = rollout.id, stage
        if key not in self._found:
            self._found[key] = population(connection, self._database.clock.now(), rollout.plan)
        return self._found[key]

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

    def _go_on(self, connection: Connection, rollout: Rollout, evidence: Evidence, decision: Decision) -> Step | None:
        """What follows from a judgement that does not abort."""
        is_closed = not any(item.pending or item.to_assign for item in evidence.counts)
        if rollout.is_last_stage:
            if not is_closed:
                return None
            if decision.verdict == "promote" or not evidence.counts[-1].assigned:
                return self._move(rollout, "complete", decision.why if evidence.counts[-1].assigned else "all devices have it.")
        elif decision.verdict == "promote":
            return self._promote(connection, rollout, decision.why)
        if decision.verdict != "undecided":
            return None
        if rollout.plan.when_undecided == "pause":
            return self._move(rollout, "pause", f"undecided: {decision.why.rstrip('.')}; promote or abort it.")
        why = f"undecided, and promoted by the plan's word: {decision.why}"
        return self._move(rollout, "complete", why) if rollout.is_last_stage else self._promote(connection, rollout, why)

    def _promote(self, connection: Connection, rollout: Rollout, why: str) -> Step:
        if rollout.plan.needs_approval:
            return self._move(rollout, "ask", f"{why.rstrip('.')}; approve the next stage.")
        happen(rollout.state, "next")
        stage = rollout.stage + 1
        found = self._meant(connection, rollout, stage)
        return lambda writing: steps.begin_stage(writing, self._database, rollout, stage, why, steps.ENGINE, found)

    def _move(self, rollout: Rollout, event: str, why: str) -> Step:
        state = happen(rollout.state, event)  # type: ignore[arg-type]
        action = {"complete": "complete-rollout", "pause": "pause-rollout", "ask": "ask-for-approval"}[event]
        return lambda writing: steps.move(writing, self._database, rollout, state, why, steps.ENGINE, action)

    def _hand_out(self, number: int) -> float:
        """Assign members that wait, as many as windows and rate allow, some at a time; seconds until more may be."""
        for _ in range(_MOST_STEPS):
            with self._database.reading() as connection:
                rollout, most, wait_s = self._room(connection, number)
            if rollout is None or most == 0:
                return wait_s
            with self._database.transaction() as connection:
                rollout, most, _ = self._room(connection, number)
                if rollout is not None and most > 0:
                    steps.assign(connection, self._database, rollout, most)
        return 0.0

    def _room(self, connection: Connection, number: int) -> tuple[Rollout | None, int, float]:
        """The rollout, how many members can be assigned now, and where that is none, in how many seconds some can."""
        rollout = load(connection, number)
        if rollout is None or rollout.state not in ("running", "completed") or not to_assign(connection, rollout):
            return None, 0, math.inf
        now = self._database.clock.now()
        closed_s = opens_in(rollout.plan.windows, now)
        return (rollout, 0, closed_s) if closed_s > 0 else (rollout, *may_assign(connection, rollout, now))


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
