"""Run rules of others, kept beside our own: MLPerf Tiny's, for latency and accuracy.

C. Banbury et al., "MLPerf Tiny Benchmark", NeurIPS 2021 (arXiv 2106.07597), section 5.3. Latency: five times, load one input,
run it for at least 10 seconds and 10 times, take the inferences a second; the score is the median. Accuracy: each input of the
validation set once; top-1 or the area under the ROC curve, which must reach the task's target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...core.errors import UsageError, unknown
from .latency import Budget
from .measurement import Measurement
from .record import Figure

_ROUNDING_S = 1e-6


@dataclass(frozen=True)
class Task:
    """A task of MLPerf Tiny: the metric that it judges by, the target, the number of inputs in its validation set."""

    title: str
    metric: str
    target: float
    samples: int


TASKS: Mapping[str, Task] = {
    "kws": Task("keyword spotting", "top1", 0.90, 1000),
    "vww": Task("visual wake words", "top1", 0.80, 1000),
    "ic": Task("image classification", "top1", 0.85, 200),
    "ad": Task("anomaly detection", "auc", 0.85, 248),
}


@dataclass(frozen=True)
class Rules:
    """MLPerf Tiny's rules, for a task or for latency alone."""

    name: str
    task: Task | None
    windows: int = 5
    least_runs: int = 10
    least_seconds: float = 10.0

    @property
    def budget(self) -> Budget:
        """Windows as the rules ask for, whatever time they take."""
        return Budget(
            windows=self.windows,
            runs=self.least_runs,
            total_s=1e9,
            least_runs=self.least_runs,
            window_s=self.least_seconds,
            most_runs=1 << 40,
        )


def parse_rules(text: str) -> Rules:
    """Rules of `mlperf-tiny` or `mlperf-tiny:TASK`; raises UsageError."""
    name, _, task = text.partition(":")
    if name != "mlperf-tiny":
        raise UsageError(unknown("rules", name[:40], ("mlperf-tiny", *(f"mlperf-tiny:{key}" for key in TASKS))))
    if ":" in text and task not in TASKS:
        raise UsageError(unknown("task of MLPerf Tiny", task[:40], TASKS))
    return Rules(text, TASKS.get(task))


def held(rules: Rules, measured: Measurement, accuracy: Mapping[str, Figure] | None) -> dict[str, Any]:
    """JSON object: what the rules ask, what was done, and whether it is what they ask.

    `score` is the median of inferences a second. The accuracy is
    judged by its value alone, as the rules do; its interval is in the result's `accuracy`. `is_kept` says that the latency was
    taken by the rules, and, with a task, that the accuracy was and reaches the target.
    """
    rates, runs = measured.window_throughput or (), measured.window_runs or ()
    fewest = min(runs, default=0)
    shortest = min((count / rate for count, rate in zip(runs, rates, strict=True)), default=0.0)
    is_long = shortest > rules.least_seconds - _ROUNDING_S
    is_timed = len(rates) >= rules.windows and fewest >= rules.least_runs and is_long
    asks = [
        f"latency: {rules.windows} windows, each of one input, of at least {rules.least_seconds:g} s and "
        f"{rules.least_runs} runs; the median of inferences a second"
    ]
    did = [f"{len(rates)} windows, each of one input, of at least {shortest:.1f} s and {fewest} runs"]
    judged = None
    if rules.task is not None:
        task = rules.task
        asks.append(
            f"accuracy of {task.title}: {task.metric} of at least {task.target:g} on {task.samples} inputs, by value alone"
        )
        figure = (accuracy or {}).get(task.metric)
        if figure is None:
            did.append(f"no accuracy: give --data with labels, and --metric {task.metric}")
        else:
            judged = figure.value >= task.target and figure.n == task.samples
            did.append(f"{task.metric} {figure.value:.4f} on {figure.n} inputs")
    return {
        "name": rules.name,
        "asks": asks,
        "did": did,
        "score": measured.throughput,
        "is_kept": is_timed and (rules.task is None or judged is True),
    }
