"""Measuring two files that run here, in turns, until every rule is decided or time is up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import RuntimeFailure
from ...core.progress import Progress
from ...runtimes.bench.batches import batch_size, example_inputs
from ...runtimes.bench.clock import fixed_kernel_ms
from ...runtimes.bench.fresh import FreshStart, fresh_start
from ...runtimes.bench.here import executing
from ...runtimes.bench.opening import ModelFile, naming
from ...stats.rank_bounds import paired_shift
from .figures import FIGURES
from .judge import Bounded, Judged, judge
from .looks import Looks
from .rules import Rule, Scale
from .turns import Inputs, Load, interruptions, time_load

_DISTURBED = 0.03


@dataclass(frozen=True)
class Measured:
    """One figure measured in turns: both values, the change with its bounds, the level of those, and what a rule says."""

    figure: str
    rule: Rule | None
    base: float
    head: float
    bounded: Bounded
    alpha: float
    judged: Judged | None


@dataclass
class Pairs:
    """What was measured so far, and the figures that it gives."""

    loads: list[Load] = field(default_factory=list)
    fresh: list[tuple[FreshStart, FreshStart]] = field(default_factory=list)
    keep_all: bool = False

    def measured(self, figure: str, rule: Rule | None, alpha: float) -> Measured:
        """One figure on its rule's scale (without one relative), with bounds at `alpha`."""
        sides, ratios = self._values(figure)
        scale: Scale = "relative" if rule is None else rule.scale
        of = {"relative": ratios, "change": sides[1] - sides[0], "level": sides[1]}[scale]
        shift = paired_shift(of, alpha)
        ends = (shift.estimate, shift.low, shift.high)
        if scale == "relative":
            ends = (math.expm1(ends[0]), math.expm1(ends[1]), math.expm1(ends[2]))
        kind = "loads" if FIGURES[figure].source == "timing" else "processes"
        bounded = Bounded(*ends, n=len(of), kind=kind)
        judged = None if rule is None else judge(rule, bounded, FIGURES[figure].unit)
        base, head = (float(np.median(side)) for side in sides)
        return Measured(figure, rule, base, head, bounded, alpha, judged)

    def _values(self, figure: str) -> tuple[tuple[Any, Any], Any]:
        """Values [n] of BASE and HEAD, and logarithms of their ratio [n]."""
        if FIGURES[figure].source == "timing":
            sides = np.array([load.figure(figure, keep_all=self.keep_all) for load in self.loads])
            return (sides[:, 0], sides[:, 1]), np.array([load.log_ratio(figure, keep_all=self.keep_all) for load in self.loads])
        sides = np.array([[_started(side, figure) for side in pair] for pair in self.fresh], dtype=np.float64)
        # A process that grew by nothing counts as one byte: a ratio needs more than nothing.
        sides = np.maximum(sides, 1.0 if figure == "memory" else 1e-6)
        return (sides[:, 0], sides[:, 1]), np.log(sides[:, 1] / sides[:, 0])


def _started(found: FreshStart, figure: str) -> float:
    return float({"cold_start_ms": found.cold_ms, "first_ms": found.first_ms, "memory": found.growth_bytes}[figure])


@dataclass(frozen=True)
class Turns:
    """Two files, how to run them, and how long measuring may take: at the first look at least, then as looks fit `seconds`."""

    files: tuple[Path, Path]
    models: tuple[ModelFile, ModelFile]
    threads: tuple[int, int]
    seconds: float
    seed: int


def measure_in_turns(
    turns: Turns, rules: Sequence[Rule], shown: Sequence[str], looks: Looks, alpha: float, progress: Progress
) -> tuple[list[Measured], dict[str, Any]]:
    """Every rule of `rules` and figure of `shown`, and the conditions; raises RuntimeFailure when a file fails to run.

    `alpha` is the level of bounds that are shown and not judged.
    """
    before, start = fixed_kernel_ms(), time.perf_counter()
    generator = np.random.default_rng(turns.seed)
    names = [*(rule.figure for rule in rules), *shown]
    inputs, samples = _inputs(turns)
    pairs = Pairs()
    steps: list[Callable[[], None]] = []
    if any(FIGURES[name].source == "timing" for name in names):
        steps.append(lambda: pairs.loads.append(_load(turns, inputs, samples, generator)))
    if any(FIGURES[name].source == "process" for name in names):
        steps.append(lambda: pairs.fresh.append(_fresh(turns, samples, generator)))
    taken, found, look = 0, [], 0
    with progress.task("measuring in turns", looks.pairs[-1]) as advance:
        for look, wanted in enumerate(looks.pairs, 1):
            for _ in range(wanted - taken):
                for step in steps:
                    step()
                advance(1)
            taken = wanted
            pairs.keep_all = bool(pairs.loads) and interruptions(pairs.loads).are_own
            found = [pairs.measured(rule.figure, rule, looks.alpha) for rule in rules]
            is_over = _is_over([item.judged for item in found if item.judged is not None])
            spent = time.perf_counter() - start
            if is_over or look == len(looks.pairs) or spent * looks.pairs[look] / taken > turns.seconds:
                break
    found += [pairs.measured(name, None, alpha) for name in shown]
    drift = fixed_kernel_ms() / before - 1
    conditions: dict[str, Any] = {
        "pairs": taken,
        "looks": look,
        "threads": list(turns.threads),
        "seconds": round(time.perf_counter() - start, 2),
        "kernel_drift": round(drift, 4),
        "is_disturbed": abs(drift) > _DISTURBED,
    }
    if pairs.loads:
        hit = interruptions(pairs.loads)
        conditions |= {
            "interrupted_base": round(hit.base, 4),
            "interrupted_head": round(hit.head, 4),
            "interrupted_runs_count": hit.are_own,
        }
    return found, conditions


def _is_over(judged: Sequence[Judged]) -> bool:
    """Whether nothing more can change what the comparison says: one regression is one."""
    statuses = {item.status for item in judged}
    return "regression" in statuses or statuses <= {"none"}


def _inputs(turns: Turns) -> tuple[tuple[Inputs, Inputs], int]:
    """Random inputs for each, as its own names and shapes ask; raises RuntimeFailure where the batches differ."""
    made, sizes = [], []
    for file, model, threads in zip(turns.files, turns.models, turns.threads, strict=True):
        with naming(file), executing(model, threads) as executor:
            made.append(example_inputs(executor, turns.seed))
            sizes.append(batch_size(executor.inputs))
    if sizes[0] != sizes[1]:
        raise RuntimeFailure(
            f"{turns.files[0]} answers {sizes[0]} samples a run and {turns.files[1]} {sizes[1]}; compare builds of one batch."
        )
    return (made[0], made[1]), sizes[0]


def _load(turns: Turns, inputs: tuple[Inputs, Inputs], samples: int, generator: np.random.Generator) -> Load:
    """Load both anew, in an order drawn by chance, and time them."""
    first = int(generator.integers(2))
    second = 1 - first
    with (
        naming(turns.files[first]),
        executing(turns.models[first], turns.threads[first]) as one,
        naming(turns.files[second]),
        executing(turns.models[second], turns.threads[second]) as other,
    ):
        base, head = (one, other) if first == 0 else (other, one)
        return time_load(base, head, inputs, samples, generator)


def _fresh(turns: Turns, samples: int, generator: np.random.Generator) -> tuple[FreshStart, FreshStart]:
    """A fresh process of each, one after the other, in an order drawn by chance."""
    found: dict[int, FreshStart] = {}
    for side in generator.permutation(2):
        with naming(turns.files[side]):
            found[int(side)] = fresh_start(turns.files[side], turns.threads[side], samples)
    return found[0], found[1]
