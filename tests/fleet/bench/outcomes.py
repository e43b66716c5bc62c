"""Outcomes of measurings as a device tells them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgewright.device_profiles.detect import Cpu
from edgewright.device_profiles.loader import load
from edgewright.fleet.protocol.bench_job import BenchJob, Outcome
from edgewright.fleet.protocol.health import Reading, Watched
from edgewright.runtimes.bench.measurement import Measurement

PI = load("raspberry-pi-4b")
PI_CPU = Cpu("aarch64", "Cortex-A72", PI.isa)
HEALTH = Watched(
    Reading(0.0, 50.0, 1500.0, 0, False, 1 << 30), (Reading(1.0, 55.0, 1500.0, 0, False, 1 << 30, 0.01),), Reading(2.0)
)
MEASUREMENT = Measurement(
    2.0, 2.0, 2.5, 3.0, 2.6, 0.01, (2.0, 2.0, 2.01), 150, 12, False, 0.001, False, 1, "onnxruntime", "1.32.0", "Cortex-A72",
    ("asimd",),
)  # fmt: skip


def measured(run: int, milliseconds: float = 2.0, **changes: Any) -> Outcome:
    found = Outcome(
        run, "measured", "", PI_CPU, False, 1, HEALTH, replace(MEASUREMENT, median_ms=milliseconds, p50_ms=milliseconds)
    )
    return replace(found, **changes)


def job(run: int = 1, sha256: str = "ab" * 32, **changes: Any) -> BenchJob:
    return replace(BenchJob(run, sha256, "digits/x86-64-avx2/1.ewa", 1, 1, 5, 600.0), **changes)
