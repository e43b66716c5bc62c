"""A sample of the crash states; `python -m benchmarks.crash_states` goes through all."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from agent.crashes import SCENARIOS, Recorded, check, cuts, cuts_after_cuts, cuts_after_kills, first, record
from simulated import power_cuts


@pytest.mark.parametrize("name", ["first", *SCENARIOS])
def test_a_power_cut_at_any_moment_leaves_a_verified_model(name: str) -> None:
    recorded = first() if name == "first" else record(name)
    share = 0.05 if name == "signed" else 0.4  # real signatures take their time
    states = list(cuts(recorded, random.Random(name), each=2, share=share))
    assert states
    for length, disk in states:
        check(recorded, length, disk)


@pytest.mark.parametrize("name", ["good", "failing"])
def test_a_second_mishap_in_the_recovery_leaves_a_verified_model(name: str) -> None:
    recorded, source = record(name), random.Random(1)
    for length, disk in [*cuts_after_kills(recorded, source, 6), *cuts_after_cuts(recorded, source, 12)]:
        check(recorded, length, disk)


def _forgetful(recorded: Recorded, kind: str) -> Recorded:
    """The same update by an agent that forgets one kind of sync."""
    log = [op for index, op in enumerate(recorded.log) if index < recorded.begins_at or op.kind != kind]
    return replace(recorded, log=tuple(log))


@pytest.mark.parametrize("kind", ["sync-file", "sync-folder"])
def test_an_agent_that_forgets_to_sync_is_found_out(kind: str) -> None:
    recorded, source = _forgetful(record("good"), kind), random.Random(0)
    with pytest.raises(AssertionError, match=r"current slot|no slot is current|nothing serves|not quiet|another version"):
        for length in range(len(recorded.log), recorded.begins_at, -1):
            for disk in power_cuts(recorded.log[:length], source, 12):
                check(recorded, length, disk)
