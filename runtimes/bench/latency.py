"""Measuring one model file: warm-up, five windows, the machine watched."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import RuntimeFailure
from ...core.executor import Executor
from ...device_profiles.detect import host_cpu
from ...device_profiles.facts import ISA
from .clock import fixed_kernel_ms, run_ms
from .measurement import Measurement


@dataclass(frozen=True)
class Budget:
    """How long measuring may take: windows, runs a window, seconds of warm-up at most, seconds of all windows aimed at."""

    windows: int = 5
    runs: int = 50
    warm_up_s: float = 5.0
    total_s: float = 30.0
    least_runs: int = 5
    window_s: float = 0.05


_STEADY_RUNS, _STEADY = 10, 0.02
_DISTURBED = 0.03
_MAX_RUNS = 5000


def measure(
    executor: Executor,
    inputs: Mapping[str, NDArray[Any]],
    *,
    runtime: str,
    version: str,
    threads: int,
    budget: Budget | None = None,
    rss_growth_bytes: int | None = None,
) -> Measurement:
    """Latency of `executor` on `inputs` (one batch), by the rules of docs/architecture.md.

    Warm up until the last ten runs vary by less than 2 % or 5 s passed; then five windows of at least fifty runs and 50 ms
    each. A model so slow that fifty runs would not fit the budget gets fewer, at least five, and the result says so.
    Raises RuntimeFailure when a run fails or a budget has no windows.
    """
    plan = budget or Budget()
    if plan.windows < 1 or plan.runs < 1 or plan.least_runs < 1:
        raise RuntimeFailure("measuring needs at least one window of one run; give a larger budget.")
    before = fixed_kernel_ms()
    warm = warm_up(executor, inputs, plan.warm_up_s)
    typical_s = median(warm[-_STEADY_RUNS:]) / 1e3
    runs = max(min(plan.runs, int(plan.total_s / plan.windows / max(typical_s, 1e-9))), min(plan.least_runs, plan.runs))
    windows = [_window(executor, inputs, runs, plan.window_s) for _ in range(plan.windows)]
    after = fixed_kernel_ms()
    return _summary(windows, len(warm), runs < plan.runs, after / before - 1, runtime, version, threads, rss_growth_bytes)


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


def _window(executor: Executor, inputs: Mapping[str, NDArray[Any]], runs: int, seconds: float) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < runs or (time.perf_counter() < end and len(times) < _MAX_RUNS):
        times.append(run_ms(executor, inputs))
    return times


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
