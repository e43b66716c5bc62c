"""A split made ready for judging: labels, columns and the reference's outputs beside the samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calibration.dataset import Split, read_column, read_labels
from .gates.judge import judge
from .gates.registry import is_user_metric
from .gates.text import Gate, parse_gate
from .gates.verdict import MeasuredOn, Verdict

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Exam:
    """What candidates are judged on: `reference` are the source model's outputs [n, ...], `output` names the one judged."""

    split: Split
    reference: NDArray[Any]
    output: str
    labels: NDArray[Any] | None
    columns: Arrays
    inputs: Arrays

    def judge(
        self,
        gates: Sequence[Gate],
        outputs: Arrays,
        *,
        alpha: float = 0.05,
        seed: int = 0,
        measured_on: MeasuredOn | None = None,
    ) -> list[Verdict]:
        """All verdicts on a candidate's outputs; raises GateError for a gate that these data can never judge."""
        return [
            verdict
            for gate in gates
            for verdict in judge(
                gate,
                self.reference,
                outputs[self.output],
                self.labels,
                self.columns,
                inputs=self.inputs,
                alpha=alpha,
                seed=seed,
                measured_on=measured_on,
            )
        ]


def prepare_exam(split: Split, reference: Arrays, output: str, gates: Sequence[Gate]) -> Exam:
    """Exam of a split: reads labels and columns, and the inputs when a user's own metric may want them."""
    data = split.data
    wanted = {name for gate in gates for name in (gate.slice, gate.group) if name is not None}
    wants_all = any(is_user_metric(gate.metric) for gate in gates)
    names = [name for name in data.columns if wants_all or name in wanted]
    inputs: dict[str, NDArray[Any]] = {}
    if wants_all:
        batches = list(split.batches(64))
        inputs = {spec.name: np.concatenate([batch.inputs[spec.name] for batch in batches]) for spec in data.inputs}
    return Exam(
        split=split,
        reference=reference[output],
        output=output,
        labels=read_labels(data, split.indices) if data.has_labels else None,
        columns={name: read_column(data, name, split.indices) for name in names},
        inputs=inputs,
    )


def is_inside(verdicts: Sequence[Verdict]) -> bool:
    """Whether every binding verdict passed, or lies inside its margin as measured (what the search goes by)."""
    binding = [verdict for verdict in verdicts if verdict.status != "reported"]
    return bool(binding) and all(verdict.status == "passed" or _measured_inside(verdict) for verdict in binding)


def _measured_inside(verdict: Verdict) -> bool:
    if verdict.status != "undecided" or None in (verdict.measured, verdict.threshold):
        return False
    gap = float(verdict.measured or 0) - float(verdict.threshold or 0)
    return gap > 0 if parse_gate(verdict.gate).is_higher_better else gap < 0
