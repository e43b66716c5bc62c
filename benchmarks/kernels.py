"""How much faster the native kernels are than their numpy twins: medians of interleaved runs, a 95 % interval of the ratio.

python benchmarks/kernels.py --threads 1
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from edgewright.cpp_bindings import kernels

_RESAMPLES = 2000


def cases(threads: int) -> dict[str, Callable[[], Any]]:
    """Each kernel on what calibration of an image model gives it."""
    random = np.random.default_rng(0)
    normal = random.normal(size=(1, 32, 112, 112)).astype(np.float32)
    relu = np.maximum(normal, 0)
    values, counts = np.linspace(-4, 4, 2048), random.integers(0, 1000, 2048).astype(np.float64)
    scales = np.linspace(0.001, 0.04, 625)
    weights = random.normal(size=(192, 1152)).astype(np.float32)
    candidates = np.tile(np.linspace(0.001, 0.03, 100), (192, 1))
    return {
        "summarize, a tensor of 401,408": lambda: kernels.summarize(normal, None, threads),
        "summarize, its 32 channels": lambda: kernels.summarize(normal, 1, threads),
        "summarize, channels last": lambda: kernels.summarize(normal.reshape(-1, 32), 1, threads),
        "count_on_grid, normal": lambda: kernels.count_on_grid(normal, -8, -1024, 2048, threads),
        "count_on_grid, half zeros": lambda: kernels.count_on_grid(relu, -8, 0, 2048, threads),
        "quantization_errors, 625 ranges": lambda: kernels.quantization_errors(
            values, counts, scales, np.full(625, -128.0), np.full(625, 127.0), threads
        ),
        "row_errors, 192 channels, 100 scales": lambda: kernels.row_errors(weights, candidates, -127, 127, threads),
        "divergences, 2,048 bins": lambda: kernels.divergences(counts, 128, threads),
    }


def seconds(call: Callable[[], Any], pure: bool) -> float:
    os.environ["EDGEWRIGHT_PURE"] = "1" if pure else "0"
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def compare(call: Callable[[], Any], runs: int) -> dict[str, float]:
    """Medians in milliseconds and their ratio with a bootstrap interval; runs alternate."""
    for pure in (False, True):
        seconds(call, pure)
    times = np.array([[seconds(call, False), seconds(call, True)] for _ in range(runs)])
    resampled = np.median(times[np.random.default_rng(0).integers(0, runs, (_RESAMPLES, runs))], axis=1)
    low, high = np.quantile(resampled[:, 1] / resampled[:, 0], [0.025, 0.975])
    native, numpy = np.median(times, axis=0)
    return {
        "native_ms": round(1e3 * float(native), 4),
        "numpy_ms": round(1e3 * float(numpy), 4),
        "ratio": round(float(numpy / native), 2),
        "low": round(float(low), 2),
        "high": round(float(high), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=31)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    given = parser.parse_args()
    if kernels.implementation() != "native":
        raise SystemExit("the native module is not built here, or EDGEWRIGHT_PURE is set: nothing to compare")
    rows = {name: compare(call, given.runs) for name, call in cases(given.threads).items()}
    print(f"{'kernel':40} {'native ms':>10} {'numpy ms':>10} {'ratio':>7}  95 % interval")
    for name, row in rows.items():
        times = f"{row['native_ms']:10.3f} {row['numpy_ms']:10.3f} {row['ratio']:7.1f}"
        print(f"{name:40} {times}  {row['low']:.1f} to {row['high']:.1f}")
    if given.out:
        given.out.write_text(json.dumps({"threads": given.threads, "runs": given.runs, "kernels": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
