"""A server that dies at any statement of judging: each window is judged once, and what follows from it is there once."""

from __future__ import annotations

import contextlib

from control.dying import Died, dying_at
from drift_world import World
from edgewright.fleet.control.database import MEMORY, Database
from edgewright.fleet.control.drift.alerts import ENGINE
from edgewright.fleet.control.tables import ALERTS, AUDIT, DRIFT_STATES, DRIFT_WINDOWS
from edgewright.fleet.drift.settings import Settings
from fleets import quantile_bins
from simulated import SimulatedClock

HOURS = (None, 0.8, None)  # shifts of everybody; the alert closes after one quiet hour


def story(moment: int) -> tuple[list[object], bool]:
    """What is in the database after some hours whose judging dies once, and whether it did."""
    clock, died = SimulatedClock(), False
    with contextlib.closing(Database(MEMORY, clock)) as database:
        world = World(database, clock, 2, quantile_bins(1), Settings(quiet_windows=1, first_windows=2))
        for shift in HOURS:
            world.send(world.everybody(shift) if shift else None, feature=0)
            clock.advance(3600)
        try:
            with dying_at(database, moment):
                world.engine.tick()
        except Died:
            died = True
        world.engine = world.new_engine()
        world.engine.tick()
        found: list[object] = [world.rows(table) for table in (ALERTS, DRIFT_WINDOWS, DRIFT_STATES)]
        # Entries before those of the engine tell of one-time tokens, which are another each time.
        noted = [(row["place"], row["action"], row["details"]) for row in world.rows(AUDIT) if row["actor"] == ENGINE]
        return [*found, noted], died


def test_a_server_that_dies_while_it_judges_has_judged_once_in_the_end():
    undisturbed, died = story(0)
    assert not died
    alerts, windows, _, audit = undisturbed
    assert [(alert["windows"], alert["state"]) for alert in alerts] == [(1, "closed")]
    assert len(windows) == len(HOURS)
    assert [action for _, action, _ in audit] == ["open-alert", "close-alert"]
    moment = 1
    while True:
        found, died = story(moment)
        if not died:
            break
        assert found == undisturbed, moment
        moment += 1
    assert moment > 15
