"""A rollout from its plan to its end, over simulated devices, in virtual time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from sqlalchemy import select

from ...core.errors import StoreError
from ..control.database import MEMORY, Database
from ..control.polls import Polls
from ..control.rollouts.engine import Engine
from ..control.rollouts.records import Rollout
from ..control.rollouts.store import Rollouts
from ..control.store import Store
from ..control.tables import DEVICES, STATES
from ..rollout.plan import Plan
from .artifacts import NEW, OFFERS, Shelf
from .link import Link
from .population import populate
from .scenario import Scenario
from .story import Moment, StageStory, Story
from .timeline import Timeline
from .world import World

START = 1_800_000_000.0  # 2027-01-15 08:00 UTC, a Friday
_ACTOR = "rehearsal"
_TICK_S = 60.0  # between two looks of the engine, at least, and as much longer as there are more devices to look at
_LOOKED_AT = 2000
_QUIET_S = 600.0  # between two looks while no device says anything
_SETTLES_S = 6 * 3600.0  # that devices have to come to rest when the rollout has ended
_ENDED = ("completed", "aborted")


class Rehearsal:
    """One rehearsal; `tell` hears each moment of the story as it happens."""

    def __init__(
        self, plan: Plan, scenario: Scenario, where: str = MEMORY, tell: Callable[[Moment], None] | None = None
    ) -> None:
        """A fleet in an empty database; raises UsageError where the plan cannot be begun, StoreError as the database does."""
        self._begun = time.perf_counter()
        self._tell = tell or (lambda moment: None)
        self._timeline = Timeline(START)
        self._database = Database(where, self._timeline)
        try:
            store = Store(self._database)
            self._polls = Polls(self._database, store, scenario.poll_s)
            draw = random.Random(scenario.seed)
            self._link = Link(store, self._polls, draw, scenario.loss)
            self._world = World(self._timeline, self._link, scenario, draw)
            self._devices = populate(self._database, self._world)
            self._polls.look()
            self._rollouts = Rollouts(self._database)
            self._engine = Engine(self._rollouts, Shelf(), refresh_s=scenario.most_s, look_s=_QUIET_S)
            self._engine.tick()  # it learns what is signed
            self._rollout = self._rollouts.create(plan, _ACTOR)
        except BaseException:
            self._database.close()
            raise
        self._moments: list[Moment] = []
        self._noted: tuple[str, int] | None = None
        self._decided_s: float | None = None
        self._heard = -1  # exchanges up to the last look
        self._due = 0.0
        self._assigned = 0  # devices at once, the most so far

    def run(self) -> Story:
        """Play it to its end."""
        try:
            self._look()
            until = START + self._world.scenario.most_s
            while self._decided_s is None and self._timeline.step(until):
                pass
            until = self._timeline.now() + _SETTLES_S
            while any(device.is_busy for device in self._devices.values()) and self._timeline.step(until):
                pass
            return self._story()
        finally:
            self._database.close()

    def _look(self) -> None:
        """Let the engine look, where there may be something to see, and wake the devices for which something changed."""
        timeline, link = self._timeline, self._link
        if link.exchanges != self._heard or timeline.now() >= self._due:
            self._heard = link.exchanges
            self._due = timeline.now() + self._engine.tick()
            self._wake()
            self._note()
        timeline.after(_TICK_S * max(1.0, self._assigned / _LOOKED_AT), self._look)

    def _wake(self) -> None:
        before = self._polls.revision
        self._polls.look()
        if self._polls.revision == before:
            return
        with self._database.reading() as connection:
            changed = select(DEVICES.c.device).where(DEVICES.c.changed > before).order_by(DEVICES.c.device)
            names = list(connection.execute(changed).scalars())
        self._assigned = max(self._assigned, len(names))
        for name in names:
            self._devices[name].wake()

    def _note(self) -> None:
        """Add to the story where the rollout has moved on."""
        rollout = self._followed()
        if (rollout.state, rollout.stage) == self._noted:
            return
        self._noted = rollout.state, rollout.stage
        now, stages = self._timeline.monotonic(), rollout.plan.stages
        if rollout.state == "running":
            what = f"stage {rollout.stage + 1} of {len(stages)} begins: {stages[rollout.stage]}"
        else:
            what, self._decided_s = rollout.state, now if rollout.state != "created" else None
        moment = Moment(now, f"{what}; {rollout.why}" if rollout.why else what)
        self._moments.append(moment)
        self._tell(moment)

    def _followed(self) -> Rollout:
        rollout = self._rollouts.get(self._rollout)
        if rollout is None:
            raise StoreError(f"rollout {self._rollout} is gone from the database; use one for this rehearsal alone.")
        return rollout

    def _story(self) -> Story:
        rollout, counts = self._followed(), self._rollouts.evidence(self._rollout).counts
        devices = self._devices.values()
        fresh = {item.sha256 for item in OFFERS if item.offer.version == NEW}
        with self._database.reading() as connection:
            believed = {row.device: row.running for row in connection.execute(select(STATES.c.device, STATES.c.running))}
        return Story(
            devices=len(devices),
            moments=tuple(self._moments),
            stages=tuple(
                StageStory(str(stage), told.good, told.bad, told.silent, told.pending, told.to_assign)
                for stage, told in zip(rollout.plan.stages, counts, strict=False)
            ),
            state=rollout.state,
            why=rollout.why,
            decided_s=self._timeline.monotonic() if self._decided_s is None else self._decided_s,
            settled_s=self._timeline.monotonic(),
            fails_on=sum(device.traits.way is not None for device in devices),
            tried=sum(device.has_tried for device in devices),
            served=sum(device.has_served for device in devices),
            committed=sum(device.has_committed for device in devices),
            run=sum(device.running in fresh for device in devices),
            untrue=sum(believed[device.name] != device.running for device in devices if not device.traits.is_off),
            exchanges=self._link.exchanges,
            real_s=time.perf_counter() - self._begun,
        )
