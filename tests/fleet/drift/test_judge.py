"""What is found of one window after another, where devices send unequally much."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from edgewright.fleet.drift.compare import Others
from edgewright.fleet.drift.judge import Finding, Seen, Stand, judge
from edgewright.fleet.drift.sequence import make_tests
from edgewright.fleet.drift.settings import Settings
from edgewright.fleet.drift.watched import watched_measures
from fleets import layout, quantile_bins, rows

BINS, SETTINGS = quantile_bins(1), Settings()


def found_after(hours: int, requests: Sequence[int], shifts: Sequence[float], batches: Sequence[str]) -> tuple[Finding, ...]:
    """What the last of some hours shows of devices with so many requests, shifts and batches."""
    tests, generator = make_tests(watched_measures(BINS, None), (), SETTINGS), np.random.default_rng(0)
    names = tuple(f"d{number}" for number in range(len(requests)))
    attributes = {name: {"batch": batch} for name, batch in zip(names, batches, strict=True)}
    stand, findings = Stand(tests.start(), tests.start(0), ()), ()
    for hour in range(hours):
        parts = [rows(BINS, 1, count, generator, {0: {0: by}}) for count, by in zip(requests, shifts, strict=True)]
        seen = Seen(layout(BINS), names, np.concatenate(parts))
        judgement = judge(tests, seen, stand, lambda scope: Others(), lambda: attributes, (), SETTINGS, hour)
        stand, findings = judgement.stand, judgement.findings
    return findings


def test_a_batch_of_most_devices_is_named_though_its_counts_are_lost_among_the_others():
    found = found_after(2, [100] * 12 + [5000] * 8, [1.5] * 12 + [0.0] * 8, ["b2"] * 12 + ["b1"] * 8)
    assert [str(item.scope) for item in found] == ["attribute batch = b2"]
    assert len(found[0].devices) == 12


def test_a_busy_device_is_named_though_no_other_sends_enough_to_tell():
    found = found_after(2, [1000] + [20] * 100, [1.0] + [0.0] * 100, ["b1"] * 101)
    assert [str(item.scope) for item in found] == ["device d0"]
