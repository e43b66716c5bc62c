"""A split made ready for judging: labels, columns and the reference's outputs beside the samples.

Gates judge the model's first output. No other output may go astray unseen: each must be finite and of the reference's shape,
and is held to `OUTPUT_GATE`, in verdicts whose slice is "output=NAME".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calibration.dataset import Split, read_column, read_labels
from ..stats.bootstrap import RESAMPLES
from .gates.judge import judge
from .gates.registry import is_user_metric
from .gates.text import Gate, parse_gate
from .gates.verdict import MeasuredOn, Status, Verdict

Arrays = Mapping[str, NDArray[Any]]
OUTPUT_GATE = "cosine >= 0.98"
_SHOWN_GATE = "cosine report-only"


@dataclass(frozen=True)
class Exam:
    """What candidates are judged on: `references` are the source model's outputs [n, ...], `output` names the one of gates."""

    split: Split
    references: Arrays
    output: str
    labels: NDArray[Any] | None
    columns: Arrays
    inputs: Arrays

    @property
    def reference(self) -> NDArray[Any]:
        """The source model's answers [n, ...] in the output that gates judge."""
        return self.references[self.output]

    def judge(
        self,
        gates: Sequence[Gate],
        outputs: Arrays,
        *,
        alpha: float = 0.05,
        seed: int = 0,
        measured_on: MeasuredOn | None = None,
        resamples: int = RESAMPLES,
    ) -> list[Verdict]:
        """All verdicts on a candidate's outputs; raises GateError for a gate that these data can never judge."""
        fault = self._fault(self.output, outputs)
        verdicts: list[Verdict] = []
        for gate in gates:
            if fault is not None:
                verdicts.append(self._failed(gate, fault, alpha, measured_on))
                continue
            verdicts += judge(
                gate,
                self.reference,
                outputs[self.output],
                self.labels,
                self.columns,
                inputs=self.inputs,
                alpha=alpha,
                seed=seed,
                measured_on=measured_on,
                resamples=resamples,
            )
        # Where nothing binds the judged output, no other output may make a release of it.
        other = parse_gate(OUTPUT_GATE if any(gate.kind != "report" for gate in gates) else _SHOWN_GATE)
        for name in self.references:
            if name != self.output:
                verdicts.append(self._judge_other(name, other, outputs, alpha, seed, measured_on, resamples))
        return verdicts

    def _judge_other(
        self,
        name: str,
        gate: Gate,
        outputs: Arrays,
        alpha: float,
        seed: int,
        measured_on: MeasuredOn | None,
        resamples: int,
    ) -> Verdict:
        """Verdict on an output that no gate of the user judges."""
        fault = self._fault(name, outputs)
        if fault is not None:
            verdict = self._failed(gate, fault, alpha, measured_on)
        else:
            reference, candidate = (
                _never_one(array, self.references[name]) for array in (self.references[name], outputs[name])
            )
            (verdict,) = judge(gate, reference, candidate, alpha=alpha, seed=seed, measured_on=measured_on, resamples=resamples)
        return replace(verdict, slice=f"output={name}")

    def _fault(self, name: str, outputs: Arrays) -> str | None:
        """Why an output cannot be held against the reference's, or None; the judge tells of faults of the reference itself."""
        reference, candidate = self.references[name], outputs.get(name)
        if candidate is None:
            return f"the candidate has no output {name!r}, which the reference has; compile it again with all outputs."
        if candidate.shape != reference.shape:
            shapes = f"{list(candidate.shape)}, the reference's {list(reference.shape)}"
            return f"the candidate's output {name!r} has shape {shapes}; they cannot be compared."
        if candidate.dtype.kind not in "biuf":
            return f"the candidate's output {name!r} has type {candidate.dtype}, which is not a number."
        if reference.dtype.kind in "biuf" and np.isfinite(reference).all() and not np.isfinite(candidate).all():
            broken = int((~np.isfinite(candidate.reshape(len(candidate), -1)).all(axis=1)).sum())
            return f"the candidate's output {name!r} holds NaN or infinity on {broken} of {len(candidate)} samples."
        return None

    def _failed(self, gate: Gate, fault: str, alpha: float, measured_on: MeasuredOn | None) -> Verdict:
        status: Status = "reported" if gate.kind == "report" else "failed"
        return Verdict(str(gate), gate.metric, None, status, fault, alpha, len(self.reference), measured_on=measured_on)


def _never_one(values: NDArray[Any], reference: NDArray[Any]) -> NDArray[Any]:
    """`values` [n, ...]; twice side by side where the reference is one number a sample and always zero: it has no cosine."""
    if reference.dtype.kind in "biuf" and reference.size == len(reference) and not reference.any():
        return np.stack([values.reshape(-1), values.reshape(-1)], axis=1)
    return values


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
        references=dict(reference),
        output=output,
        labels=read_labels(data, split.indices) if data.has_labels else None,
        columns={name: read_column(data, name, split.indices) for name in names},
        inputs=inputs,
    )


def is_inside(verdicts: Sequence[Verdict]) -> bool:
    """Whether the search has nothing against a candidate: each binding verdict passed, or lies inside as measured.

    What `search` has too few samples to measure at all is left to `accept`, which is larger and binds.
    """
    binding = [verdict for verdict in verdicts if verdict.status != "reported"]
    return bool(binding) and all(verdict.status == "passed" or _measured_inside(verdict) for verdict in binding)


def _measured_inside(verdict: Verdict) -> bool:
    if verdict.status != "undecided":
        return False
    if verdict.measured is None or verdict.threshold is None:
        return True
    gap = float(verdict.measured or 0) - float(verdict.threshold or 0)
    return gap > 0 if parse_gate(verdict.gate).is_higher_better else gap < 0
