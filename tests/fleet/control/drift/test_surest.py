"""How sure a test is, is told of one artifact: the test of the next one begins at nothing."""

from __future__ import annotations

from edgewright.fleet.control.drift import alerts
from edgewright.fleet.control.drift.views import Alert
from edgewright.fleet.drift.scope import FLEET
from edgewright.fleet.drift.settings import Settings
from edgewright.fleet.drift.verdict import Compared

OLD, NEW = "a" * 64, "b" * 64


def goes_on(sha256: str, log_e: float) -> bool:
    compared = Compared("x", "input", 60, 0.15, 0.01, 0.3, 0.1, 0.5, log_e, is_alarm=True, severity="minor")
    alert = Alert(
        id=1, model="m", sha256=OLD, measure="x", scope=FLEET, severity="minor", state="open", first_at=0.0, last_at=0.0,
        windows=9, acknowledged_by=None, evidence={"surest": {OLD: 33.6}},
    )  # fmt: skip
    return alerts._goes_on(alert, sha256, compared, Settings())


def test_a_test_that_lost_of_what_it_was_sure_of_is_quiet() -> None:
    assert goes_on(OLD, 33.55)
    assert not goes_on(OLD, 18.4)


def test_the_test_of_another_artifact_is_not_held_against_it() -> None:
    assert goes_on(NEW, 18.4)
