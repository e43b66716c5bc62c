"""What a member's last word means for a rollout."""

from __future__ import annotations

import pytest
from edgewright.fleet.control.rollouts.hearing import Member, Said, hear
from edgewright.fleet.rollout.plan import Plan

PLAN = Plan("m", 2, observe_s=3600.0, silent_s=86400.0)
NEW, OLD = "ab" * 32, "cd" * 32


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (Said(NEW, None, "Idle", None, "", 200.0), None),
        (Said(OLD, None, "Idle", None, "its worker does not start", 200.0), "bad"),
        # Its worker died, the old version serves again, and it tries the new one once more.
        (Said(OLD, NEW, "Download", None, "", 200.0), "bad"),
        (Said(OLD, NEW, "ArtifactReboot", None, "", 200.0), "bad"),
        (Said(NEW, NEW, "ArtifactRollback", None, "", 200.0), "bad"),
        (Said(NEW, NEW, "ArtifactFailure", "FAILED_ROLLBACK_COMPLETE", "it crashed", 200.0), "bad"),
    ],
)
def test_a_member_that_ran_the_version_is_bad_once_something_else_answers(said, outcome):
    member = Member(NEW, assigned_at=0.0, running_since=100.0, outcome=None)
    assert hear(PLAN, member, said, 300.0).outcome == outcome


def test_a_member_that_is_on_its_way_for_the_first_time_is_not_bad_yet():
    member = Member(NEW, assigned_at=0.0, running_since=None, outcome=None)
    assert hear(PLAN, member, Said(OLD, NEW, "ArtifactReboot", None, "", 200.0), 300.0).outcome is None
