"""Whether labels can judge a model: what must not be, and what a user should know."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from .dataset import Dataset, chunks, read_labels

_FEW_SAMPLES = 30
_LABEL_NAMES = ("y", "label", "labels", "target", "edgewright_label")


@dataclass(frozen=True)
class LabelReport:
    """What the labels are: "classes" (whole numbers from 0 up, one a sample) or "values".

    counts: samples by class, for classes. warnings: one sentence each, of what limits the verdicts that they allow.
    """

    kind: str
    count: int
    counts: Mapping[int, int]
    warnings: tuple[str, ...]


def check_labels(data: Dataset, indices: Sequence[int] | None = None) -> LabelReport:
    """Read the labels (all, or those at `indices`) and judge them.

    Raises DataError where there are none, where their number is not that of the samples, where one is NaN or infinite, and
    where there are fewer than two samples. One class only, or few samples, is a warning in the report.
    """
    asked = range(len(data)) if indices is None else indices
    if len(asked) < 2:
        raise DataError(f"the data have {len(asked)} labelled sample(s), which can judge nothing; give at least some hundred.")
    return judge_labels(np.concatenate([_piece(data, piece) for piece in chunks(asked, 4096)]), asked)


def judge_labels(labels: NDArray[Any], indices: Sequence[int]) -> LabelReport:
    """`check_labels` for labels [n, ...] in memory that belong to samples `indices`."""
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        bad = int(np.argmax(~np.isfinite(labels.reshape(len(labels), -1)).all(axis=1)))
        raise DataError(f"the label of sample {indices[bad]} is not a finite number; label it or remove it.")
    if labels.dtype.kind not in "biuf":
        raise DataError(f"labels are of type {labels.dtype}; give integers, floats or names of classes.")
    is_classes = labels.dtype.kind in "biu" and labels.ndim == 1 and int(labels.min()) >= 0
    counts: dict[int, int] = {}
    if is_classes:
        found, sizes = np.unique(labels, return_counts=True)
        counts = {int(label): int(size) for label, size in zip(found, sizes, strict=True)}
    warnings = []
    if len(labels) < _FEW_SAMPLES:
        warnings.append(f"there are only {len(labels)} labelled samples, too few for any verdict; give at least some hundred.")
    if is_classes and len(counts) == 1:
        warnings.append(f"all {len(labels)} labels are class {next(iter(counts))}; metrics that compare classes are undefined.")
    if not is_classes and len(labels) > 1 and bool((labels == labels[:1]).all()):
        warnings.append("all labels are equal; correlation and R2 are undefined.")
    return LabelReport("classes" if is_classes else "values", len(labels), counts, tuple(warnings))


def _piece(data: Dataset, indices: Sequence[int]) -> NDArray[Any]:
    labels = read_labels(data, indices)
    if len(labels) != len(indices):
        raise DataError(f"the data gave {len(labels)} labels for {len(indices)} samples; give every sample one label.")
    return labels


def label_name(inputs: Collection[str]) -> str:
    """What the array of labels is called in a file of samples beside a model's inputs: "y" unless one is called that."""
    name = next((name for name in _LABEL_NAMES if name not in inputs), None)
    if name is None:
        raise DataError(f"the model's inputs take every name that labels could have ({', '.join(_LABEL_NAMES)}); rename one.")
    return name
