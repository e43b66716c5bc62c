"""Two model files timed in turns, and the rule that decides which of them is released."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from numpy.typing import NDArray

from ...core.errors import RuntimeFailure
from ...core.executor import Executor
from ...stats.ratio import ratio_interval
from .clock import fixed_kernel_ms, run_ms
from .latency import warm_up

# Released is what is slower than float by at most this factor at the bound; a tie is what lies within it on both sides.
TOLERANCE = 1.02
_DISTURBED = 0.03
_ROUND_MS = 2.0
_MAX_RUNS_A_ROUND = 50


@dataclass(frozen=True)
class RatioResult:
    """`ratio` = candidate / reference of the times, with its interval: `low` and `high` are one-sided 95 % bounds each.

    `candidate_ms` and `reference_ms` are medians over the rounds; `runs` is how many runs of each a round has.
    """

    ratio: float
    low: float
    high: float
    candidate_ms: float
    reference_ms: float
    rounds: int
    runs: int
    is_disturbed: bool

    def to_json(self) -> dict[str, Any]:
        """JSON object with a member a field."""
        return dict(self.__dict__)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> RatioResult:
        """Inverse of `to_json`; raises KeyError when a member is missing."""
        return RatioResult(**{name: value[name] for name in RatioResult.__dataclass_fields__})


def compare(
    candidate: Executor,
    reference: Executor,
    inputs: Mapping[str, NDArray[Any]],
    rounds: int = 50,
    *,
    reference_inputs: Mapping[str, NDArray[Any]] | None = None,
    warm_up_s: float = 2.0,
    seed: int = 0,
) -> RatioResult:
    """Time both in turns, A B A B ..., after a warm-up of each; `reference_inputs` where its inputs have other names.

    A round is one run of each, or as many as last about 2 ms, after an untimed one: a device runs its model alone.
    Raises RuntimeFailure when a run fails or rounds < 5.
    """
    if rounds < 5:
        raise RuntimeFailure(f"{rounds} rounds cannot bound a ratio; measure at least 5.")
    others = inputs if reference_inputs is None else reference_inputs
    before = fixed_kernel_ms()
    typical = max(
        median(warm_up(candidate, inputs, warm_up_s)[-10:]), median(warm_up(reference, others, warm_up_s)[-10:]), 1e-6
    )
    runs = max(1, min(_MAX_RUNS_A_ROUND, int(_ROUND_MS / typical)))
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_round_ms(candidate, inputs, runs))
        theirs.append(_round_ms(reference, others, runs))
    drift = fixed_kernel_ms() / before - 1
    interval = ratio_interval(ours, theirs, confidence=0.90, seed=seed)
    return RatioResult(
        ratio=interval.ratio,
        low=interval.low,
        high=interval.high,
        candidate_ms=median(ours),
        reference_ms=median(theirs),
        rounds=rounds,
        runs=runs,
        is_disturbed=abs(drift) > _DISTURBED,
    )


@dataclass(frozen=True)
class Choice:
    """Which of the two is released, and one sentence why."""

    released: Literal["candidate", "reference"]
    why: str


def never_slower(result: RatioResult, candidate_bytes: int, reference_bytes: int) -> Choice:
    """The rule for latency: the candidate when the upper 95 % bound of its ratio is at most 1.02, else the float reference.

    Within a tie of 2 % (the whole interval lies between 1/1.02 and 1.02) the smaller of the two.
    """
    span = f"{result.ratio:.3f} ({result.low:.3f} to {result.high:.3f}) of the float's time"
    if not result.high <= TOLERANCE:
        return Choice("reference", f"it takes {span}: not shown to be at most {TOLERANCE}.")
    if result.low >= 1 / TOLERANCE and candidate_bytes > reference_bytes:
        return Choice(
            "reference", f"it takes {span}, a tie, and is larger ({candidate_bytes} against {reference_bytes} bytes)."
        )
    return Choice("candidate", f"it takes {span}.")


def _round_ms(executor: Executor, inputs: Mapping[str, NDArray[Any]], runs: int) -> float:
    """Milliseconds of one run: the median over a round, after one that fills the caches that the other's turn emptied."""
    run_ms(executor, inputs)
    return median(run_ms(executor, inputs) for _ in range(runs))
