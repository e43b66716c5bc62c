"""From a decision to an artifact: manifest and test vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calibration.dataset import Split
from ..core.artifact import ArtifactContent, TestVectors
from ..core.executor import TensorSpec
from ..core.manifest import (
    DataRecord,
    GateRecord,
    HistogramBins,
    Manifest,
    RuntimeRecord,
    SourceRecord,
    TargetRecord,
    Tolerance,
)
from ..device_profiles.profile import DeviceProfile
from ..runtimes import registry
from ..runtimes.location import Here
from .gates.verdict import Verdict
from .release import Decision
from .trial import Trial

VECTOR_SAMPLES = 4
_FLOAT_TOLERANCE, _INT8_TOLERANCE, _FLOAT_NOISE = 1e-3, 0.05, 1e-6


@dataclass(frozen=True)
class Origin:
    """What all artifacts of one compile have in common. `preprocessing` is the data set's declaration as JSON."""

    name: str
    source: SourceRecord
    data: DataRecord
    seed: int
    preprocessing: Any
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    versions: Mapping[str, str]


def content_of(
    origin: Origin,
    profile: DeviceProfile,
    decision: Decision,
    threads: int,
    samples: Split,
    bins: Sequence[HistogramBins],
    measurements: Mapping[str, Any],
) -> ArtifactContent:
    """Content of the artifact for `decision.chosen`; `samples` are what its `outputs` (on `search`) start with."""
    trial = decision.chosen
    if trial is None or trial.built is None:
        raise ValueError("nothing was chosen")
    runtime = registry.get(trial.runtime)
    manifest = Manifest(
        name=origin.name,
        source=origin.source,
        data=origin.data,
        pipeline=trial.built.pipeline,
        precision=trial.precision,
        target=TargetRecord(profile.name, profile.arch, tuple(profile.isa), threads),
        runtime=RuntimeRecord(trial.runtime, runtime.version()),
        entry=trial.built.entry,
        inputs=origin.inputs,
        outputs=origin.outputs,
        gates=tuple(_gate_record(verdict) for verdict in decision.looks[-1].verdicts),
        versions=origin.versions,
        measured_on=trial.measured_on,
        seed=origin.seed,
        preprocessing=origin.preprocessing,
        ledger=decision.looks[-1].ledger,
        histograms=tuple(bins),
    )
    return ArtifactContent(manifest, trial.built.read(), _vectors(origin, trial, samples), measurements)


def _vectors(origin: Origin, trial: Trial, samples: Split) -> TestVectors:
    """The first samples and what the candidate's own file answers to them."""
    batch = next(samples.batches(VECTOR_SAMPLES))
    count = len(batch.indices)
    outputs = {spec.name: trial.outputs[spec.name][:count] for spec in origin.outputs}
    relative = _INT8_TOLERANCE if trial.precision == "int8" else _FLOAT_TOLERANCE
    location = trial.location
    forced = "their instruction set forced" if isinstance(location, Here) else str(location)
    where = {
        "target": "the target's kernels",
        "emulated": f"the target's kernels, {forced}",
        "reference": "kernels of another CPU that sum the same integers or floats",
    }[trial.measured_on or "reference"]
    return TestVectors(
        inputs={spec.name: np.ascontiguousarray(batch.inputs[spec.name]) for spec in origin.inputs},
        outputs={name: np.ascontiguousarray(array) for name, array in outputs.items()},
        tolerances={name: _tolerance(relative, array, trial.outputs[name]) for name, array in outputs.items()},
        arithmetic=f"{trial.runtime} {registry.get(trial.runtime).version()} on {location.cpu.arch}: {where}",
    )


def _tolerance(relative: float, expected: NDArray[Any], answers: NDArray[Any]) -> Tolerance:
    """Tolerance of one output: `relative` to its values, at most a quarter of what `answers` on all samples spread over.

    Beside a large offset, `relative` alone would let every answer pass for every other. An output that never varies has no
    spread to go by; below single precision there is nothing to tell apart.
    """
    wide = answers.astype(np.float64)
    largest = max(float(np.abs(expected.astype(np.float64)).max(initial=0.0)), 1e-6)
    spread = float(np.ptp(wide)) if wide.size else 0.0
    share = min(relative, max(spread / 8 / largest, _FLOAT_NOISE)) if spread > 0 else relative
    return Tolerance(absolute=share * largest, relative=share)


def _gate_record(verdict: Verdict) -> GateRecord:
    is_reported = verdict.status == "reported"
    return GateRecord(
        gate=verdict.gate,
        status="undecided" if is_reported else verdict.status,  # type: ignore[arg-type]
        slice=verdict.slice,
        report_only=is_reported,
        measured=verdict.measured,
        reference=verdict.reference,
        candidate=verdict.candidate,
        low=verdict.low,
        high=verdict.high,
        bound=verdict.bound,
        threshold=verdict.threshold,
        margin=verdict.margin,
        alpha=verdict.alpha,
        psi=verdict.psi,
        negative_flips=verdict.negative_flips,
        n=verdict.n,
        n_needed=verdict.n_needed,
        why=verdict.why,
        measured_on=verdict.measured_on,
    )
