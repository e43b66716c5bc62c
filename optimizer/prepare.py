"""From the source model and data to what every candidate starts from: the prepared model, the splits, the gates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calibration.bind import bind, check_labels
from ..calibration.classes import check_same_classes
from ..calibration.collect import collect
from ..calibration.dataset import Dataset, Split, read_column, read_labels
from ..calibration.moments import MOMENT_SAMPLES, StoredMoments, collect_moments, save_moments
from ..calibration.opening import open_dataset
from ..calibration.preprocess import Preprocessing
from ..calibration.splits import Splits, make_splits
from ..calibration.statistics import Statistics
from ..core.canonical import digest
from ..core.code import code_digest
from ..core.errors import DataError, ModelError, UsageError, unknown
from ..core.progress import Progress
from ..core.store import StepStore
from ..device_profiles.detect import host_cpu
from ..ir.model import Model
from ..ir.passes import Pass
from ..ir.pipeline import Pipeline
from ..ir.rewrites.batch import fix_batch
from ..ir.rewrites.canonicalize import Canonicalize
from ..ir.rewrites.fold_bn import FoldBatchNorm
from ..ir.rewrites.strip import Strip
from ..ir.rewrites.widen import WidenWeights
from .build import Calibration
from .gates.decisions import Unjudgeable, class_count, class_labels, cut_of, predicted, scores_of
from .gates.defaults import default_gate
from .gates.needed import samples_for_gate
from .gates.registry import compares_classes, find_metric, is_user_metric
from .gates.text import Gate, check_columns, check_labelled, parse_gates
from .gates.user import load_user_metric
from .ingest.ingest import Ingested, ingest
from .quantize.rounding import Rounder
from .recipe import Recipe

_PARITY_SAMPLES = 8
_DEFAULT_ACCEPT = 3000
_LEAST_ACCEPT = 400
_MOST_FOR_SLICES = 10


def open_data(recipe: Recipe) -> Dataset:
    """The data set that the recipe names, not yet matched to a model; raises DataError."""
    data = _open(recipe, recipe.data if recipe.data is not None else recipe.accept)
    if recipe.classes and not data.has_labels:
        raise DataError("classes are named and the data have no labels; name the labels with --labels NAME, or drop --classes.")
    return data


def ingest_model(recipe: Recipe, data: Dataset, progress: Progress) -> Ingested:
    """The model, checked against its source on the first samples of the data."""
    return ingest(
        recipe.model,
        samples=first_samples(data),
        shapes=recipe.shapes or None,
        weights=recipe.weights,
        trust=recipe.trust,
        progress=progress,
    )


def first_samples(data: Dataset) -> dict[str, NDArray[Any]]:
    """Inputs [n, ...] of the first samples: what a model is held against its source on."""
    return dict(data.read(range(min(_PARITY_SAMPLES, len(data)))).inputs)


def prepare_model(ingested: Ingested) -> tuple[Model, str]:
    """The model that every candidate starts from (batch 1, canonical, batch norm folded) and the pipeline's text."""
    pipeline = Pipeline([Strip(), Canonicalize(), WidenWeights(), FoldBatchNorm(), Canonicalize()])
    base, _ = pipeline.run(fix_batch(ingested.model, 1))
    return base.with_mapped_weights(), str(pipeline)


def prepare_trained(trained: Model, passes: Sequence[Pass]) -> tuple[Model, str]:
    """Like `prepare_model`, from what `passes` made of the ingested model in training form, whose weights are float32."""
    after = (Canonicalize(), FoldBatchNorm(), Canonicalize())
    base, _ = Pipeline(after).run(fix_batch(trained, 1))
    return base.with_mapped_weights(), str(Pipeline([Strip(), Canonicalize(), WidenWeights(), *passes, *after]))


def bind_data(recipe: Recipe, data: Dataset, base: Model) -> Dataset:
    """The data matched to the model's inputs, with free batch; raises DataError naming both shapes, UsageError."""
    names = [spec.name for spec in base.inputs]
    for name in recipe.inputs:
        if name not in names:
            raise UsageError(unknown("model input", name, names))
    return bind(data, base.inputs)


def check_gates(recipe: Recipe, data: Dataset) -> None:
    """Refuse gates that these data can never judge, before any work; raises GateError."""
    for gate in parse_gates(recipe.gates):
        check_columns(gate, data.columns)
        check_labelled(gate, data.has_labels)
        if is_user_metric(gate.metric):
            load_user_metric(gate.metric)


def choose_gates(recipe: Recipe, data: Dataset, outputs: NDArray[Any]) -> tuple[Gate, ...]:
    """The recipe's gates, or the default for these data and the reference's first `outputs`; raises ModelError."""
    if outputs.size == 0:
        raise ModelError(
            f"the model's first output is empty (shape {list(outputs.shape)}), so nothing can be judged; "
            "export it with an output that holds numbers."
        )
    if recipe.gates:
        return parse_gates(recipe.gates)
    labels = read_labels(data, range(min(256, len(data)))) if data.has_labels else None
    return (default_gate(labels, outputs, [spec.shape for spec in data.inputs]),)


def samples_wanted(gates: tuple[Gate, ...], data: Dataset) -> int:
    """Samples of `accept` that the most demanding gate needs; a sliced one needs them in its smallest slice."""
    return max(*(_wanted(gate, data) for gate in gates), _LEAST_ACCEPT)


def _wanted(gate: Gate, data: Dataset) -> int:
    if gate.kind == "report":
        return 0
    per_group = 1.0
    if gate.group is not None:
        per_group = len(data) / len(np.unique(read_column(data, gate.group, range(len(data))).astype(str)))
    needed = samples_for_gate(gate, per_group=per_group) or _DEFAULT_ACCEPT
    if gate.slice is None:
        return needed
    _, sizes = np.unique(read_column(data, gate.slice, range(len(data))).astype(str), return_counts=True)
    # A slice too rare to ever decide stays undecided: it must not take every sample from search and calib.
    return min(math.ceil(needed * len(data) / int(sizes.min())), _MOST_FOR_SLICES * needed)


def split_data(recipe: Recipe, data: Dataset, base: Model, wanted: int) -> Splits:
    """The splits: of one data set, or with parts from files of their own; raises DataError.

    What belongs together stays in one split: by the recipe's `group`, else by every column that a gate resamples by.
    """
    groups = _groups(recipe)
    amount = recipe.audit if isinstance(recipe.audit, (int, float)) else 0
    own = {
        name: bind_data(recipe, _open(recipe, getattr(recipe, name)), base)
        for name in ("accept", "search", "calib", "audit")
        if getattr(recipe, name) is not None and not (name == "audit" and amount)
    }
    for name, other in own.items():
        check_same_classes(data, other, name)
    if set(own) <= {"audit"} and recipe.data is not None:
        cut = make_splits(data, wanted, recipe.search_samples, recipe.calib_samples, amount, groups)
        return cut.with_audit(own["audit"], groups) if "audit" in own else cut
    main = data if recipe.data is not None else None
    accept, calib = own.get("accept", main), own.get("calib", main)
    if accept is None or calib is None or (accept is main and calib is main):
        raise DataError("accept and calib need data of their own; give --accept FILE with --data FILE or --calib FILE.")
    return Splits.from_datasets(
        accept=accept, search=own.get("search"), calib=calib, audit=own.get("audit", amount), groups=groups
    )


def _groups(recipe: Recipe) -> tuple[str, ...]:
    if recipe.group is not None:
        return (recipe.group,)
    return tuple(sorted({gate.group for gate in parse_gates(recipe.gates) if gate.group is not None}))


def training_split(splits: Splits) -> Split:
    """What is trained on: calib, and what neither accept nor search nor audit needs."""
    return Split("train", splits.calib.data, (*splits.calib.indices, *splits.spare))


def calibrate(store: StepStore, base: Model, split: Split, progress: Progress) -> Calibration:
    """Statistics of every float tensor over `split`, and the moments that rounding goes by over its first samples."""
    first = Split(split.name, split.data, split.indices[:MOMENT_SAMPLES])
    cpu = host_cpu()
    known = {
        "model": base.digest(),
        "data": [split.data.digest, list(split.indices)],
        "code": code_digest(),
        "versions": {name: metadata.version(name) for name in ("numpy", "onnxruntime")},
        "cpu": [cpu.arch, sorted(cpu.flags)],
    }

    def make(folder: Path) -> None:
        found = collect(base, split, progress=progress)
        (folder / "statistics.npz").write_bytes(found.to_bytes())
        save_moments(folder, collect_moments(base, first, progress=progress))

    folder = store.step(store.key("calibrate", **known), make)
    data = (folder / "statistics.npz").read_bytes()
    return Calibration(digest(data), Statistics.from_bytes(data), Rounder(StoredMoments(folder)))


def check_data(data: Dataset, gates: Sequence[Gate]) -> tuple[str, ...]:
    """What the labels limit, a sentence each; raises DataError for labels that no gate, or one of these, could use."""
    if not data.has_labels:
        return ()
    report = check_labels(data)
    compared = next((gate.metric for gate in gates if gate.kind != "report" and compares_classes(gate.metric)), None)
    if len(report.counts) == 1 and compared is not None:
        only = next(iter(report.counts))
        raise DataError(
            f"all {report.count} labels are class {only}, so {compared} would pass a model that always answers {only}; "
            "give samples of every class."
        )
    return report.warnings


def check_reference(reference: Any, labels: Any, gates: tuple[Gate, ...]) -> list[str]:
    """What to tell of the source model's own answers [n, ...] beside labels [n]; nothing where no gate compares classes.

    Raises DataError when it is right no more often than guessing would be: then labels or preprocessing are not the model's,
    and a candidate that answers just as wrongly would pass.
    """
    metrics = [find_metric(gate.metric) for gate in gates]
    if labels is None or not any(item is not None and item.needs_labels and item.family != "score" for item in metrics):
        return []
    scores = scores_of(reference)
    classes = class_count(scores)
    try:
        truth = class_labels(labels, classes)
    except Unjudgeable:
        return []
    share = float((predicted(scores, cut_of(scores)) == truth).mean())
    common, most = np.unique(truth, return_counts=True)
    if share <= 1 / classes:
        raise DataError(
            f"the source model itself is right on {share:.1%} of {len(truth)} samples, no more than guessing among {classes} "
            "classes; correct the labels' order or the preprocessing before anything is judged by them."
        )
    majority = float(most.max() / len(truth))
    told = f"the source model is right on {share:.1%} of {len(truth)} samples of accept"
    if share < majority:
        told += (
            f", less than always answering {common[most.argmax()]} would be ({majority:.1%}): check labels and preprocessing"
        )
    return [told]


def preprocessing_json(data: Dataset) -> Any:
    """The data set's declared preprocessing, as the manifest holds it."""
    found = getattr(data, "preprocessing", None)
    return found.to_json() if isinstance(found, Preprocessing) else None


def _open(recipe: Recipe, source: Any) -> Dataset:
    preprocessing = Preprocessing.parse(recipe.preprocess) if recipe.preprocess else None
    inputs: Mapping[str, str] | None = recipe.inputs or None
    return open_dataset(
        source,
        labels=recipe.labels,
        inputs=inputs,
        preprocessing=preprocessing,
        classes=recipe.classes,
        trust=recipe.trust,
    )
