"""`edgewright bench --data`: metrics of one model file alone, each with its interval."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.artifact_read import open_artifact
from ..core.errors import DataError, GateError, UsageError, unknown
from ..core.executor import Executor
from ..core.progress import Progress
from ..runtimes.bench.record import Figure

if TYPE_CHECKING:
    from ..calibration.dataset import Dataset
    from ..core.manifest import MeasuredOn
    from ..device_profiles.profile import DeviceProfile
    from ..optimizer.gates.text import Gate
    from ..optimizer.gates.verdict import Verdict

_CONFIDENCE = 0.95
_BATCH = 64


@dataclass(frozen=True)
class Examination:
    """Data with labels, and what is told of a model's answers on all of them."""

    data: Dataset
    gates: Sequence[Gate]

    def of(self, executor: Executor, progress: Progress, name: str) -> dict[str, Figure]:
        """Metrics of a model's first output with two-sided 95 % intervals; raises DataError, RuntimeFailure."""
        import numpy as np

        from ..calibration.bind import bind
        from ..calibration.dataset import Split
        from ..optimizer.exam import prepare_exam
        from ..optimizer.prepare import check_data
        from ..runtimes.bench.batches import run_all

        with redirect_stdout(sys.stderr):  # what the user's own code prints is not the answer
            bound = bind(self.data, executor.inputs)
            split = Split("data", bound, tuple(range(len(bound))))
            check_data(bound, self.gates)
            found: dict[str, list[np.ndarray]] = {}
            with progress.task(f"judging {name}", len(split)) as advance:
                for batch in split.batches(_BATCH):
                    for output, value in run_all(executor, dict(batch.inputs)).items():
                        found.setdefault(output, []).append(value)
                    advance(len(batch.indices))
            answers = {output: np.concatenate(values) for output, values in found.items()}
            first = executor.outputs[0].name
            exam = prepare_exam(split, answers, first, self.gates)
            verdicts = exam.judge(self.gates, answers, alpha=(1 - _CONFIDENCE) / 2)
        return {gate.metric: _figure(verdict) for gate, verdict in zip(self.gates, verdicts[: len(self.gates)], strict=True)}


def open_examination(
    data: str, metrics: Sequence[str], preprocess: str | None, labels: str | None, classes: str | None
) -> Examination:
    """Data and metrics, read before anything is measured; raises DataError, UsageError."""
    from ..calibration.classes import read_classes
    from ..calibration.opening import open_dataset
    from ..calibration.preprocess import Preprocessing

    gates = [_gate(name) for name in metrics]
    declared = Preprocessing.parse(preprocess) if preprocess else None
    with redirect_stdout(sys.stderr):
        order = read_classes(classes) if classes is not None else ()
        opened = open_dataset(data, labels=labels, preprocessing=declared, classes=order)
    if not opened.has_labels:
        raise DataError(f"{data} has no labels, and {', '.join(metrics)} needs them; name them with --labels.")
    return Examination(opened, gates)


def worth(file: Path, runtime: str, profile: DeviceProfile | None) -> MeasuredOn | None:
    """What an accuracy that is taken here is worth for the profile; a file that is no artifact may hold integers."""
    from ..device_profiles.host import Precision, measured_on

    if profile is None:
        return None
    precision: Precision = "int8"
    if file.suffix == ".ewa":
        said = open_artifact(file).manifest.precision
        precision = said if said in ("float32", "float16") else "int8"  # type: ignore[assignment]
    return measured_on(profile, runtime, "accuracy", precision)


def with_worth(figures: Mapping[str, Figure], worth: MeasuredOn | None) -> dict[str, Figure]:
    """The same figures, which say whose kernels gave them."""
    from dataclasses import replace

    return {name: replace(figure, measured_on=worth) for name, figure in figures.items()}


def _gate(name: str) -> Gate:
    """Any level: what is wanted of its verdict are the value and the two bounds, never the status."""
    from ..optimizer.gates.registry import find_metric, known_metrics
    from ..optimizer.gates.text import parse_gate

    metric = find_metric(name)
    if metric is None:
        raise UsageError(unknown("metric", name[:40], known_metrics()))
    if metric.needs_reference:
        raise UsageError(f"{name} compares with another model; use `edgewright gate REFERENCE CANDIDATE`, or another --metric.")
    return parse_gate(f"{metric.name} {'>=' if metric.is_higher_better else '<='} 0.5")


def _figure(verdict: Verdict) -> Figure:
    if verdict.candidate is None:
        raise GateError(f"{verdict.metric} cannot be told: {verdict.why}")
    return Figure(verdict.candidate, verdict.low, verdict.high, _CONFIDENCE, verdict.n)
