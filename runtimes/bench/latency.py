"""Measuring one model file: warm-up, five windows, the machine watched."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import RuntimeFailure
from ...core.executor import Executor
from ...core.progress import Progress, Silent
from ...device_profiles.detect import host_cpu
from ...device_profiles.facts import ISA
from .clock import fixed_kernel_ms, run_ms
from .measurement import Measurement


@dataclass(frozen=True)
class Budget:
    """How long measuring may take: windows, runs a window, seconds of warm-up at most, seconds of all windows aimed at.

    A window has at least `runs` (`least_runs` where they would not fit); its runs take `window_s` together, or are `most_runs`.
    """

    windows: int = 5
    runs: int = 50
    warm_up_s: float = 5.0
    total_s: float = 30.0
    least_runs: int = 5
    window_s: float = 0.05
    most_runs: int = 5000


_STEADY_RUNS, _STEADY = 10, 0.02
_DISTURBED = 0.03


def measure(
    executor: Executor,
    inputs: Mapping[str, NDArray[Any]] | Sequence[Mapping[str, NDArray[Any]]],
    *,
    runtime: str,
    version: str,
    threads: int,
    budget: Budget | None = None,
    rss_growth_bytes: int | None = None,
    batch: int | None = None,
    progress: Progress | None = None,
) -> Measurement:
    """Latency of `executor` on `inputs`: one batch, or several, of which each window takes the next; rules: docs/bench.md.

    Warm up until the last ten runs vary by less than 2 % or 5 s passed; then five windows of at least fifty runs and 50 ms
    each. A model so slow that fifty runs would not fit the budget gets fewer, at least five, and the result says so.
    With `batch`, the samples of a run, throughput and the windows' own quantiles are told too.
    Raises RuntimeFailure when a run fails or a budget has no windows.
    """
    plan = budget or Budget()
    if plan.windows < 1 or plan.runs < 1 or plan.least_runs < 1:
        raise RuntimeFailure("measuring needs at least one window of one run; give a larger budget.")
    several = [inputs] if isinstance(inputs, Mapping) else list(inputs)
    before = fixed_kernel_ms()
    with (progress or Silent()).task("measuring", plan.windows + 1) as advance:
        warm = warm_up(executor, several[0], plan.warm_up_s)
        advance(1)
        typical_s = median(warm[-_STEADY_RUNS:]) / 1e3
        runs = max(min(plan.runs, int(plan.total_s / plan.windows / max(typical_s, 1e-9))), min(plan.least_runs, plan.runs))
        windows = []
        for index in range(plan.windows):
            windows.append(_window(executor, several[index % len(several)], runs, plan))
            advance(1)
    after = fixed_kernel_ms()
    found = _summary(windows, len(warm), runs < plan.runs, after / before - 1, runtime, version, threads, rss_growth_bytes)
    return found if batch is None else _with_throughput(found, windows, batch)


def warm_up(executor: Executor, inputs: Mapping[str, NDArray[Any]], seconds: float) -> list[float]:
    """Milliseconds of each run until the last ten vary by less than 2 % of their median, or `seconds` passed."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        times.append(run_ms(executor, inputs))
        last = times[-_STEADY_RUNS:]
        if len(last) == _STEADY_RUNS and max(last) - min(last) < _STEADY * median(last):
            break
    return times


def _window(executor: Executor, inputs: Mapping[str, NDArray[Any]], runs: int, plan: Budget) -> list[float]:
    times: list[float] = []
    spent_ms = 0.0
    while len(times) < runs or (spent_ms < plan.window_s * 1e3 and len(times) < plan.most_runs):
        times.append(run_ms(executor, inputs))
        spent_ms += times[-1]
    return times


def _with_throughput(found: Measurement, windows: list[list[float]], batch: int) -> Measurement:
    """With samples a second (all of a window's samples over the sum of its runs' times), and the windows' quantiles."""
    rates = tuple(1e3 * batch * len(window) / sum(window) for window in windows)
    p90, p99 = (tuple(float(np.quantile(window, share)) for window in windows) for share in (0.9, 0.99))
    return replace(
        found,
        throughput=median(rates),
        window_throughput=rates,
        window_runs=tuple(map(len, windows)),
        window_p90_ms=p90,
        window_p99_ms=p99,
    )


def _summary(
    windows: list[list[float]],
    warm_up_runs: int,
    is_shortened: bool,
    drift: float,
    runtime: str,
    version: str,
    threads: int,
    rss_growth_bytes: int | None,
) -> Measurement:
    cpu = host_cpu()
    every = np.concatenate([np.asarray(window) for window in windows])
    medians = tuple(median(window) for window in windows)
    middle = median(medians)
    p50, p90, p99 = (float(value) for value in np.quantile(every, (0.5, 0.9, 0.99)))
    return Measurement(
        median_ms=middle,
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        p90_upper_ms=_p90_upper_ms(every),
        spread=(max(medians) - min(medians)) / middle,
        window_ms=medians,
        runs=len(every),
        warm_up_runs=warm_up_runs,
        is_shortened=is_shortened,
        drift=drift,
        is_disturbed=abs(drift) > _DISTURBED,
        threads=threads,
        runtime=runtime,
        runtime_version=version,
        cpu=cpu.model,
        cpu_flags=tuple(sorted(cpu.flags & ISA.get(cpu.arch, frozenset()))),
        rss_growth_bytes=rss_growth_bytes,
    )


def _p90_upper_ms(every: NDArray[Any]) -> float | None:
    """The 99 % upper bound of p90; None with too few runs, or on a device without scipy."""
    try:
        from ...stats.quantiles import quantile_upper_bound
    except ImportError:
        return None
    return quantile_upper_bound(every, 0.9, 0.99)
