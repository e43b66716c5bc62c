"""The built-in training of a retraining: a pipeline of the compiler's own passes on the deployed version's source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...calibration.bind import bind
from ...calibration.dataset import Split
from ...calibration.labels import label_name
from ...calibration.opening import open_dataset
from ...core.canonical import digest
from ...core.errors import PassError
from ...core.files import write_atomic
from ...core.progress import Progress
from ...core.store import StepStore
from ...ir.model import Model
from ...ir.passes import Pass
from ..ingest.ingest import ingest
from ..passes.registry import parse
from ..purse import Purse
from ..train.form import training_form
from ..train.needs import TrainingNeeds
from ..training import Trainer, weights_of
from ..variants import Variant

_NAME = "retrain"


def parse_training(text: str) -> tuple[Pass, ...]:
    """The passes of a built-in training; raises PassError for what trains nothing, and for what only a compile can do."""
    passes = tuple(parse(text).passes)
    for item in passes:
        if item.needs not in (None, TrainingNeeds):
            raise PassError(f"the retraining {text!r} has {item.name!r}, which the compile after it does; leave it out.")
    if not any(item.needs is TrainingNeeds for item in passes):
        raise PassError(f"the retraining {text!r} trains nothing; write for example 'distill{{epochs=10,teacher-weight=0.3}}'.")
    return passes


def teach(
    source: Path, folder: Path, text: str, out: Path, *, seed: int, budget: str | None, store: StepStore, progress: Progress
) -> Mapping[str, Any]:
    """Train the model of `source` on train.npz of `folder`, and write it to `out` as ONNX; what was done.

    Its teacher is `source` itself. A training that was killed goes on from its last checkpoint in `store`.
    """
    variant = Variant(_NAME, parse_training(text))
    reference = training_form(ingest(source, progress=progress).model)
    given = TrainingNeeds(
        train=_split(folder / "train.npz", reference, "train"),
        search=_split(folder / "settle.npz", reference, "search"),
        reference=reference,
        seed=seed,
        store=store,
        progress=progress,
    )
    purse = Purse(budget, weights_of([variant], []))
    trained, steps = Trainer(given, store, purse).run(variant)
    data = trained.to_bytes()
    write_atomic(out, data)
    return {
        "passes": [step.text for step in steps],
        "notes": [note for step in steps for note in step.notes],
        "source": digest(data),
    }


def _split(path: Path, model: Model, name: str) -> Split:
    inputs = {spec.name: spec.name for spec in model.inputs}
    data = bind(open_dataset(path, labels=label_name(inputs), inputs=inputs), model.inputs)
    return Split(name, data, tuple(range(len(data))))
