"""What a device tells of a guard: from counts of two versions to one value, and that no difference is taken for one."""

from __future__ import annotations

import numpy as np
import pytest
from edgewright.core.manifest import HistogramBins
from edgewright.fleet.protocol.window import LATENCY_BINS, LATENCY_EDGES_MS, Window
from edgewright.fleet.rollout.guard import FEWEST_REQUESTS, SLOW_SHARE, Guard, mean_confidence, value_of
from edgewright.stats.sequential import log_bound

BINS = (
    HistogramBins("x", "input", (-1.0, 1.0), (0, 5, 0)),
    HistogramBins("y", "confidence", (0.4, 0.6, 0.8, 1.0), (0, 2, 3, 4, 0)),
)
SHA = "ab" * 32


def window(requests: int = 100, errors: int = 0, ms: list[float] | None = None, confident: tuple[int, ...] = ()) -> Window:
    latency = [0] * LATENCY_BINS
    for value in ms if ms is not None else [1.0] * requests:
        latency[int(np.searchsorted(LATENCY_EDGES_MS, value))] += 1
    tensors = ((0, requests, 0), confident) if confident else ()
    return Window("digits", SHA, 0, 600, 1, requests, requests, 0, (0, 0, errors, 0), tuple(latency), tensors)


def test_errors_are_shares_of_all_that_was_asked() -> None:
    assert value_of("errors", window(95, 5), window(50, 50)) == pytest.approx(0.45)
    assert value_of("errors", window(100), window(0, 100, [])) == 1.0


def test_too_few_requests_tell_nothing() -> None:
    few, enough = window(FEWEST_REQUESTS - 1), window(FEWEST_REQUESTS)
    for kind in ("errors", "slow", "confidence"):
        assert value_of(kind, few, enough) is None
        assert value_of(kind, enough, few) is None


def test_a_version_that_takes_twice_as_long_is_slow_on_a_slow_device_too() -> None:
    for base in (1.0, 300.0):
        drawn = list(base * np.random.default_rng(1).lognormal(0, 0.2, 200))
        assert value_of("slow", window(200, ms=drawn), window(200, ms=[2.5 * ms for ms in drawn])) > 0.9


@pytest.mark.parametrize(("requests", "times"), [(20, 1500), (50, 1500), (400, 300)])
def test_an_equally_fast_version_is_slow_in_a_tenth_of_its_requests_at_most(requests: int, times: int) -> None:
    generator = np.random.default_rng(requests)
    found = []
    for _ in range(times):
        spread = generator.uniform(0.01, 1.0)
        old, new = (list(generator.lognormal(1, spread, requests)) for _ in range(2))
        found.append(value_of("slow", window(requests, ms=old), window(requests, ms=new)))
    assert np.mean(found) <= SLOW_SHARE + 4 * np.std(found) / np.sqrt(len(found))


def test_confidence_is_the_mean_of_the_middles_of_its_bins() -> None:
    assert mean_confidence(window(4, confident=(0, 2, 0, 2, 0)), BINS) == pytest.approx(0.7)
    assert mean_confidence(window(4, confident=(4, 0, 0, 0, 0)), BINS) == pytest.approx(0.2)


def test_confidence_needs_the_bins_of_that_artifact() -> None:
    sure, unsure = window(100, confident=(0, 0, 0, 100, 0)), window(100, confident=(0, 100, 0, 0, 0))
    assert value_of("confidence", sure, unsure, (BINS, BINS)) == pytest.approx(0.4)
    assert value_of("confidence", sure, unsure, (None, BINS)) is None
    assert value_of("confidence", sure, window(100, confident=(0, 50, 50)), (BINS, BINS)) is None
    assert mean_confidence(window(100), BINS[:1]) is None


def test_a_guard_refutes_what_it_says() -> None:
    guard = Guard.parse("errors <= +1pt to promote")
    bound = log_bound(0.05)
    assert guard.worse.path([0.5] * 14)[-1] > bound
    assert guard.worse.path([0.0] * 10)[-1] < 0
    assert guard.no_worse.path([0.0] * 600)[-1] > bound
    assert guard.no_worse.path([-0.5] * 10)[-1] < 0
    assert Guard.parse("slow <= +5pt").worse.path([1.0, 1.0, 1.0])[-1] > bound
