"""How much of what pruning saves in multiply-accumulates is saved in time: `python -m benchmarks.pruning_speed`.

MobileNetV2 and ResNet-18 with random weights at 224 x 224, batch 1, one thread: half the multiply-accumulates are removed with
the importance l2, allocated by measured time, aligned to the profile. Original and pruned file are timed in turns in each
runtime. The share is t_before / t_after over MACs_before / MACs_after; Torch-Pruning#38 had 0.33. `--cpu-time` reads the
process's own CPU time instead of the clock, which other programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from edgewright.calibration.dataset import no_samples
from edgewright.core.executor import Executor
from edgewright.core.store import StepStore
from edgewright.device_profiles.detect import host_cpu
from edgewright.device_profiles.host import measured_on
from edgewright.device_profiles.loader import load
from edgewright.device_profiles.profile import DeviceProfile
from edgewright.ir.model import Model
from edgewright.ir.pipeline import Pipeline
from edgewright.ir.rewrites.batch import fix_batch
from edgewright.ir.rewrites.canonicalize import Canonicalize
from edgewright.ir.rewrites.fold_bn import FoldBatchNorm
from edgewright.ir.statistics import macs
from edgewright.optimizer.ingest.ingest import ingest
from edgewright.optimizer.measure import Measurements
from edgewright.optimizer.prune.prune import Prune
from edgewright.optimizer.train.form import training_form
from edgewright.optimizer.train.needs import TrainingNeeds
from edgewright.runtimes import registry
from edgewright.runtimes.bench.batches import example_inputs
from edgewright.runtimes.bench.compare import compare

from benchmarks.zoo import torchvision_models

BAR = 0.8
MODELS = ("mobilenet_v2", "resnet18")
_ROUNDS, _TRIES = 40, 3


@dataclass(frozen=True)
class Ratio:
    """Time of the pruned file over the original's: the ratio with its bounds, and whether the machine was quiet."""

    ratio: float
    low: float
    high: float
    is_disturbed: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--allocation", default="latency", choices=("latency", "macs", "global", "isomorphic", "uniform"))
    parser.add_argument("--align", default="profile")
    parser.add_argument("--amount", type=float, default=0.5)
    parser.add_argument("--store", type=Path, help="Step store that keeps the layers' times.")
    parser.add_argument("--cpu-time", action="store_true")
    options = parser.parse_args()
    profile = profile_of_this_machine()
    print(f"{host_cpu().model}, profile {profile.name}, channels by {options.align}, allocation {options.allocation}")
    bounds = "quartiles" if options.cpu_time else "95 % bounds"
    print(f"{'model':<14}{'runtime':<13}{'MACs':>7}{'time':>7}  {bounds:<14}{'share':>6}")
    with tempfile.TemporaryDirectory() as folder:
        measurements = Measurements(StepStore(options.store or Path(folder)), None)
        for name in options.models:
            run(name, profile, measurements, options)


def run(name: str, profile: DeviceProfile, measurements: Measurements, options: argparse.Namespace) -> None:
    """Prune one model and print a line a runtime."""
    net = getattr(torchvision_models(), name)(weights=None).eval()
    source = training_form(ingest(net, samples={"x": np.zeros((1, 3, 224, 224), np.float32)}).model)
    prune = Prune(amount=options.amount, importance="l2", allocation=options.allocation, align=options.align)
    given = TrainingNeeds(train=no_samples("calib"), search=None, reference=source, profile=profile, measurements=measurements)
    pruned = prune.run(source, given).model
    reduction = (macs(source) or 0) / (macs(pruned) or 1)
    for runtime in profile.runtimes:
        found = timed(runtime, prepared(source), prepared(pruned), profile, options.cpu_time)
        share = 1 / found.ratio / reduction
        verdict = "" if share >= BAR else f"  below {BAR}"
        note = "  (disturbed)" if found.is_disturbed else ""
        bounds = f"{1 / found.high:.2f} to {1 / found.low:.2f}"
        print(
            f"{name:<14}{runtime:<13}{reduction:>6.2f}x{1 / found.ratio:>6.2f}x  {bounds:<14}{share:>6.2f}{verdict}{note}",
            flush=True,
        )


def prepared(model: Model) -> Model:
    """As the compiler lowers it: batch 1, batch norms folded."""
    return Pipeline([Canonicalize(), FoldBatchNorm(), Canonicalize()]).run(fix_batch(model, 1))[0]


def timed(runtime: str, before: Model, after: Model, profile: DeviceProfile, by_cpu_time: bool) -> Ratio:
    """The pruned file against the original, in turns, one thread; again, at most twice, where the machine was disturbed."""
    target = registry.get(runtime)
    files = [target.lower(model, profile) for model in (after, before)]
    candidate, reference = (target.load(lowered.files, lowered.entry, 1) for lowered in files)
    try:
        inputs = example_inputs(candidate)
        if by_cpu_time:
            return cpu_ratio(candidate, reference, inputs)
        for _ in range(_TRIES):
            found = compare(candidate, reference, inputs, _ROUNDS)
            if not found.is_disturbed:
                break
        return Ratio(found.ratio, found.low, found.high, found.is_disturbed)
    finally:
        candidate.close()
        reference.close()


def cpu_ratio(candidate: Executor, reference: Executor, inputs: Mapping[str, Any]) -> Ratio:
    """The ratio of CPU times, in turns; the bounds are the quartiles of the rounds' ratios."""
    times = [(cpu_ms(candidate, inputs), cpu_ms(reference, inputs)) for _ in range(_ROUNDS + 5)][5:]
    ratios = [ours / theirs for ours, theirs in times]
    low, high = np.quantile(ratios, (0.25, 0.75))
    return Ratio(median(ours for ours, _ in times) / median(theirs for _, theirs in times), float(low), float(high), False)


def cpu_ms(executor: Executor, inputs: Mapping[str, Any]) -> float:
    executor.run(inputs)
    start = time.process_time_ns()
    executor.run(inputs)
    return (time.process_time_ns() - start) / 1e6


def profile_of_this_machine() -> DeviceProfile:
    """The profile whose kernels this CPU runs."""
    for name in ("x86-64-vnni", "x86-64-avx2", "arm64-linux"):
        profile = load(name)
        if measured_on(profile, profile.runtimes[0], "latency", "float32") == "target":
            return profile
    raise SystemExit("no profile of this package is of this machine's kind")


if __name__ == "__main__":
    main()
