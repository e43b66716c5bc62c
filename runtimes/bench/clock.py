"""Timing of single runs, and the fixed kernel that shows whether the machine was disturbed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.executor import Executor

_KERNEL_SIZE = 20_000
_KERNEL_RUNS = 41


def run_ms(executor: Executor, inputs: Mapping[str, NDArray[Any]]) -> float:
    """Milliseconds of wall time of one run."""
    start = time.perf_counter_ns()
    executor.run(inputs)
    return (time.perf_counter_ns() - start) / 1e6


def fixed_kernel_ms() -> float:
    """Median milliseconds of sorting the same numbers on one thread: it changes with the machine's state and nothing else."""
    numbers = np.random.default_rng(0).integers(0, 1 << 30, _KERNEL_SIZE)
    return median(_timed(lambda: np.sort(numbers)) for _ in range(_KERNEL_RUNS))


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - start) / 1e6
