"""The gates of a retraining: the new artifact beside the deployed one, on what the old world was and on what was held out.

It must not lose more than the margin on the old, and must win on the new: `top1 >= +0pt` passes only where the lower bound of
the gain lies above 0. Each look is written into a ledger first, so that trying again and again costs what it should.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...calibration.bind import bind
from ...calibration.content import content_digest, sketch
from ...calibration.dataset import Split
from ...calibration.labels import label_name
from ...calibration.opening import open_dataset
from ...core.artifact_read import open_artifact
from ...core.canonical import digest_json
from ...core.errors import DataError
from ...core.executor import TensorSpec
from ...runtimes.remote import RemoteExecutor
from ..exam import prepare_exam
from ..gates.defaults import default_gate
from ..gates.judge import judge
from ..gates.ledger import Judging, Ledger
from ..gates.text import Gate, parse_gate, parse_gates
from ..gates.verdict import Verdict, overall

Outputs = Mapping[str, NDArray[Any]]
_WORLDS = {"old": "the old data", "fresh": "the new data"}


@dataclass(frozen=True)
class Gates:
    """What must hold on the `old` data and on the `new`; empty chooses by the labels."""

    old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judged:
    """Verdicts of a profile on one part; `part` is "old" or "fresh"."""

    profile: str
    part: str
    verdicts: tuple[Verdict, ...]
    alpha: float
    look: int

    @property
    def refusal(self) -> str | None:
        """The gate's reason where one did not pass."""
        status = overall(self.verdicts)
        if status == "passed":
            return None
        worst = next((item for item in self.verdicts if item.status == status), None)
        if worst is None:
            return f"nothing was judged on {_WORLDS[self.part]} for {self.profile}; give a gate that binds."
        where = "" if worst.slice is None else f", {worst.slice}"
        return f"'{worst.gate}' on {_WORLDS[self.part]}{where}, for {self.profile}, is {status}: {worst.why}"

    def to_json(self) -> dict[str, Any]:
        """JSON object with the figures that decide."""
        names = ("gate", "slice", "status", "measured", "reference", "candidate", "bound", "n", "why")
        told = [{name: getattr(item, name) for name in names} for item in self.verdicts]
        return {"profile": self.profile, "part": self.part, "verdicts": told, "alpha": self.alpha, "look": self.look}


def answers(artifact: Path, inputs: Mapping[str, NDArray[Any]]) -> Outputs:
    """Outputs [n, ...] of an artifact, run in a child process; raises RuntimeFailure, ArtifactError."""
    opened = open_artifact(artifact)
    with RemoteExecutor(opened.manifest.runtime.name, opened.manifest.target.threads) as child:
        child.load(opened.files, opened.manifest.entry)
        return child.run({spec.name: inputs[spec.name] for spec in child.inputs})


def beside(
    folder: Path, part: str, profile: str, deployed: Path, candidate: Path, gates: Gates, ledger: Ledger, seed: int
) -> Judged:
    """Judge an artifact beside the deployed one of its profile on a part that `divide` wrote; raises GateError, DataError."""
    split = _split(folder / f"{part}.npz", deployed)
    inputs = _inputs(split)
    before = answers(deployed, inputs)
    chosen = _chosen(gates, part, split, before)
    opened = open_artifact(candidate)
    device = digest_json([opened.manifest.target.arch, sorted(opened.manifest.target.isa), opened.manifest.target.threads])
    exam = prepare_exam(split, before, next(iter(before)), chosen)
    on = Judging(sketch(split.data), content_digest(split, {}), device)
    entry = ledger.look(on, opened.digest, [str(gate) for gate in chosen], seed)
    verdicts = exam.judge(chosen, _by_name(before, answers(candidate, inputs)), alpha=entry.alpha(), seed=seed)
    # Other outputs have no labels, and differ where the model learned: they are shown, and bind nothing.
    binding = [item if item.slice is None or not item.slice.startswith("output=") else _shown(item) for item in verdicts]
    return Judged(profile, part, tuple(binding), entry.alpha(), entry.number)


def too_few(folder: Path, deployed: Path, gates: Gates, seed: int) -> str | None:
    """Why the held-out samples are too few for any winner, or None: not even one that is always right would pass."""
    path = folder / "fresh.npz"
    try:
        split = _split(path, deployed)
    except DataError:
        return "there are no labelled samples that could be held out; label some (`edgewright labels push`)."
    before = answers(deployed, _inputs(split))
    output = next(iter(before))
    exam = prepare_exam(split, before, output, ())
    labels, reference = exam.labels, before[output]
    for gate in _chosen(gates, "fresh", split, before):
        ideal = _ideal(labels, reference)
        if ideal is None or gate.metric != "top1" or gate.kind != "change":
            continue
        (verdict,) = judge(replace(gate, slice=None), reference, ideal, labels, {}, alpha=0.05, seed=seed)
        if verdict.status != "passed":
            return (
                f"too few new labels: {len(split)} samples are held out, and on these not even a model without any error would "
                f"pass '{gate}' ({verdict.why.rstrip('.')}); label more."
            )
    return None


def _ideal(labels: NDArray[Any] | None, reference: NDArray[Any]) -> NDArray[Any] | None:
    """What a model that is always right would answer; None where labels are no class numbers."""
    if labels is None or labels.ndim != 1 or labels.dtype.kind not in "iu" or reference.ndim != 2 or reference.shape[1] < 2:
        return None
    if labels.min() < 0 or labels.max() >= reference.shape[1]:
        return None
    made = np.zeros(reference.shape, np.float32)
    made[np.arange(len(labels)), labels] = 1.0
    return made


def _chosen(gates: Gates, part: str, split: Split, before: Outputs) -> tuple[Gate, ...]:
    texts = gates.old if part == "old" else gates.new
    if texts:
        return parse_gates(texts)
    output = next(iter(before.values()))
    labels = split.data.read(split.indices).labels
    default = default_gate(labels, output, [spec.shape for spec in split.data.inputs])
    if part == "old":
        return (default,)
    sign = "+" if default.is_higher_better else "-"
    return (parse_gate(f"{default.metric} {default.op} {sign}0{'pt' if default.metric == 'top1' else ''}"),)


def _split(path: Path, artifact: Path) -> Split:
    specs: tuple[TensorSpec, ...] = open_artifact(artifact).manifest.inputs
    inputs = {spec.name: spec.name for spec in specs}
    data = bind(open_dataset(path, labels=label_name(inputs), inputs=inputs), free_batch(specs))
    return Split(path.stem, data, tuple(range(len(data))))


def free_batch(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The specifications for any number of samples."""
    return tuple(TensorSpec(spec.name, spec.dtype, (None, *spec.shape[1:])) for spec in specs)


def _inputs(split: Split) -> dict[str, NDArray[Any]]:
    parts = [batch.inputs for batch in split.batches(1024)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _by_name(reference: Outputs, candidate: Outputs) -> Outputs:
    """The candidate's outputs under the reference's names: as they are where they share the first, else in order."""
    if next(iter(reference)) in candidate:
        return candidate
    return dict(zip(reference, candidate.values(), strict=False))


def _shown(item: Verdict) -> Verdict:
    return replace(item, status="reported")
