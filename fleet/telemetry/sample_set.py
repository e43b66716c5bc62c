"""Samples as one data set: arrays of the model's inputs, `y`, and what is known of each sample as columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import DataError, ProtocolError
from ..protocol.sample import About
from .sample_file import unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

_INPUT = "input."
LABELS = "y"
COLUMNS = ("sample", "device", "at", "artifact", "confidence", "reasons")


@dataclass(frozen=True)
class Labelled:
    """A sample's name, device and file, and its label: a class number or a number, as text; None where nobody told it."""

    sample: str
    device: str
    data: bytes
    label: str | None


def data_set(samples: Iterable[Labelled]) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """Arrays by name, [n, ...] each, of the n samples that have the inputs of the first; a sentence for each that has not.

    Inputs keep their names and types; `y` is int64 [n] where every label is a class number, else float64 [n], and is left out
    where no sample has one; samples with and without do not mix; of COLUMNS `at`
    (seconds since 1970) and `confidence` are float64 [n], the others texts [n]. Raises DataError without a sample of use, and
    where an input is named as one of the other arrays.
    """
    kept: list[tuple[Labelled, About, dict[str, NDArray[Any]]]] = []
    passed_over: list[str] = []
    for sample in samples:
        if kept and (sample.label is None) != (kept[0][0].label is None):
            raise DataError("some samples have a label and some have none; make a data set of each.")
        try:
            found = {name: array for name, array in unpack(sample.data)[0].items() if name.startswith(_INPUT)}
            about = About.read(sample.data)
        except ProtocolError as error:
            passed_over.append(f"the sample {sample.sample[:12]} is passed over: {error}")
            continue
        first = kept[0][2] if kept else found
        if not found or _form(found) != _form(first):
            passed_over.append(f"the sample {sample.sample[:12]} is passed over: it has not the inputs of the others.")
            continue
        kept.append((sample, about, found))
    if not kept:
        raise DataError(
            "there are no such samples with inputs; `edgewright labels list` shows what devices sent, `labels push` labels it."
        )
    arrays = {name.removeprefix(_INPUT): np.concatenate([one[name] for _, _, one in kept]) for name in kept[0][2]}
    taken = sorted(arrays.keys() & {LABELS, *COLUMNS})
    if taken:
        raise DataError(f"the model has an input {taken[0]!r}, which is what labels or columns are called; rename the input.")
    labels = [sample.label for sample, _, _ in kept if sample.label is not None]
    told = {LABELS: _numbers(labels)} if labels else {}
    return {**arrays, **told, **_columns(kept)}, tuple(passed_over)


def _form(arrays: dict[str, NDArray[Any]]) -> list[tuple[str, str, tuple[int, ...]]]:
    return sorted((name, array.dtype.str, array.shape) for name, array in arrays.items())


def _numbers(labels: list[str]) -> NDArray[Any]:
    are_classes = all(label.isdecimal() for label in labels)
    return np.array([int(label) for label in labels], np.int64) if are_classes else np.array(list(map(float, labels)))


def _columns(kept: list[tuple[Labelled, About, dict[str, NDArray[Any]]]]) -> dict[str, NDArray[Any]]:
    told = [
        (sample.sample, sample.device, about.at, about.sha256, about.confidence, ", ".join(about.reasons))
        for sample, about, _ in kept
    ]
    return {name: np.array(column) for name, column in zip(COLUMNS, zip(*told, strict=True), strict=True)}
