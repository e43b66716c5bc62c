"""Two loaded models timed in turns: a pair of loads at a time, so that chance in memory and machine falls on both alike.

A *load* is the unit that intervals count: both files are loaded anew, in an order drawn by chance, and timed in rounds of short
blocks, again in an order drawn by chance. Two sessions of one file may differ for as long as they live (where their memory
lies); rounds within one load would repeat that difference and take it for certain.

A run in which the system took the processor away is set aside on both sides: that time is the machine's. If HEAD is
interrupted more often for its time than BASE, the interruptions are its own, and all runs count.
"""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.executor import Executor
from ...runtimes.bench.clock import run_ms

Floats = NDArray[np.float64]
Inputs = Mapping[str, NDArray[Any]]

_BLOCK_MS = 1.0
_MOST_RUNS = 32
_LOAD_MS = 60.0
_LEAST_ROUNDS, _MOST_ROUNDS = 8, 32
_WARM_RUNS, _WARM_MS, _MOST_WARM_RUNS = 3, 10.0, 100
_LEAST_KEPT = 0.5
_OWN_INTERRUPTIONS = 1e-3


@dataclass(frozen=True)
class Runs:
    """The timed runs of one side in one load: milliseconds [rounds, runs], and whether the system broke in [rounds, runs]."""

    ms: Floats
    is_interrupted: NDArray[np.bool_]

    def block_medians(self, *, keep_all: bool) -> Floats:
        """Median of each round [rounds]; NaN where fewer than half of a round's runs are kept."""
        kept = self.ms if keep_all else np.where(self.is_interrupted, np.nan, self.ms)
        enough = np.isfinite(kept).mean(axis=1) >= _LEAST_KEPT
        return np.array([np.nanmedian(row) if good else np.nan for row, good in zip(kept, enough, strict=True)])

    def kept(self, *, keep_all: bool) -> Floats:
        """Milliseconds of the runs that count [n]."""
        return self.ms.ravel() if keep_all else self.ms[~self.is_interrupted]


@dataclass(frozen=True)
class Load:
    """Both sides of one pair of loads; round i of one was timed beside round i of the other."""

    base: Runs
    head: Runs
    samples: int

    def figure(self, name: str, *, keep_all: bool) -> tuple[float, float]:
        """BASE's and HEAD's value of a timing figure; the load keeps all runs where less than half would be left of a side."""
        is_scarce = min(float(np.mean(~side.is_interrupted)) for side in (self.base, self.head)) < _LEAST_KEPT
        base, head = (side.kept(keep_all=keep_all or is_scarce) for side in (self.base, self.head))
        if name == "throughput":
            return tuple(1e3 * self.samples / float(np.mean(times)) for times in (base, head))  # type: ignore[return-value]
        share = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99}[name]
        return float(np.quantile(base, share)), float(np.quantile(head, share))

    def log_ratio(self, name: str, *, keep_all: bool) -> float:
        """Logarithm of HEAD's value over BASE's.

        Of p50 the median over rounds of the ratio of their medians: what disturbs a round disturbs both of its blocks.
        """
        if name == "p50_ms":
            ratios = np.log(self.head.block_medians(keep_all=keep_all)) - np.log(self.base.block_medians(keep_all=keep_all))
            known = ratios[np.isfinite(ratios)]
            if len(known) >= _LEAST_ROUNDS / 2:
                return float(np.median(known))
        base, head = self.figure(name, keep_all=keep_all)
        return float(np.log(head / base))


def time_load(
    base: Executor, head: Executor, inputs: tuple[Inputs, Inputs], samples: int, generator: np.random.Generator
) -> Load:
    """Time two freshly loaded models in turns; a run answers `samples` samples. Raises RuntimeFailure when one fails."""
    sides = (base, head)
    typical = max(_warm(executor, given) for executor, given in zip(sides, inputs, strict=True))
    runs = int(min(max(_BLOCK_MS / typical, 1), _MOST_RUNS))
    rounds = int(min(max(_LOAD_MS / (runs * typical), _LEAST_ROUNDS), _MOST_ROUNDS))
    taken: tuple[list[list[tuple[float, bool]]], list[list[tuple[float, bool]]]] = ([], [])
    for _ in range(rounds):
        for side in generator.permutation(2):
            taken[side].append(_block(sides[side], inputs[side], runs))
    found = []
    for blocks in taken:
        table = np.array(blocks, dtype=np.float64)
        found.append(Runs(np.maximum(table[:, :, 0], 1e-6), table[:, :, 1] > 0))
    return Load(found[0], found[1], samples)


@dataclass(frozen=True)
class Interruptions:
    """Share of runs that were interrupted, of each side, and whether HEAD's are its own."""

    base: float
    head: float
    are_own: bool


def interruptions(loads: Sequence[Load]) -> Interruptions:
    """How often the system broke in; HEAD's are its own where it is hit more often for its time than chance explains."""
    hits = [sum(int(side.is_interrupted.sum()) for side in sides) for sides in _sides(loads)]
    spent = [sum(float(side.ms.sum()) for side in sides) for sides in _sides(loads)]
    counts = [sum(side.ms.size for side in sides) for sides in _sides(loads)]
    total = hits[0] + hits[1]
    share = spent[1] / (spent[0] + spent[1])
    # Normal approximation with the correction for continuity; a few interruptions say nothing either way.
    excess = (hits[1] - total * share - 0.5) / max((total * share * (1 - share)) ** 0.5, 1e-9)
    from ...stats.paired import normal_quantile

    return Interruptions(hits[0] / counts[0], hits[1] / counts[1], bool(excess > float(normal_quantile(_OWN_INTERRUPTIONS))))


def _sides(loads: Sequence[Load]) -> tuple[list[Runs], list[Runs]]:
    return [load.base for load in loads], [load.head for load in loads]


def _warm(executor: Executor, inputs: Inputs) -> float:
    """Milliseconds of a run once the caches are filled."""
    times: list[float] = []
    while len(times) < _WARM_RUNS or (sum(times) < _WARM_MS and len(times) < _MOST_WARM_RUNS):
        times.append(run_ms(executor, inputs))
    return max(median(times[-_MOST_RUNS:]), 1e-6)


def _block(executor: Executor, inputs: Inputs, runs: int) -> list[tuple[float, bool]]:
    """Milliseconds of each run and whether it was interrupted, after one that fills the caches that the other emptied."""
    run_ms(executor, inputs)
    taken = []
    before = _switches()
    for _ in range(runs):
        spent = run_ms(executor, inputs)
        after = _switches()
        taken.append((spent, after > before))
        before = after
    return taken


def _switches() -> int:
    """How often the system took the processor from this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
