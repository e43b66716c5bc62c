"""Labelled samples in memory and in a file, told apart by their content, so that each stays on its side of a split for ever."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...calibration.content import hash_inputs
from ...calibration.dataset import Dataset, read_labels
from ...calibration.labels import label_name
from ...core.errors import DataError
from ...core.files import write_atomic

WORLD = "world"  # the column that says of a sample whether it is "old" or "new"
_AT_ONCE = 1024


@dataclass(frozen=True)
class Samples:
    """`inputs` [n, ...] by the model's input names, as it takes them, and `labels` [n, ...]."""

    inputs: Mapping[str, NDArray[Any]]
    labels: NDArray[Any]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.labels)

    def take(self, chosen: NDArray[Any]) -> Samples:
        """The samples at these indices, or where this mask [n] is true."""
        return Samples({name: array[chosen] for name, array in self.inputs.items()}, self.labels[chosen])

    def hashes(self) -> list[bytes]:
        """SHA-256 of each sample's inputs."""
        return list(hash_inputs(self.inputs)) if len(self) else []

    def without(self, others: Collection[bytes]) -> Samples:
        """The samples whose content is none of these hashes."""
        return self.take(np.array([item not in others for item in self.hashes()], dtype=bool))

    def distinct(self) -> NDArray[np.bool_]:
        """Mask [n] of the first sample of each content and label: one that comes again says nothing more."""
        seen: set[tuple[bytes, bytes]] = set()
        mask = np.zeros(len(self), dtype=bool)
        for at, content in enumerate(self.hashes()):
            key = content, self.labels[at].tobytes()
            mask[at] = key not in seen
            seen.add(key)
        return mask


def share_of(samples: Samples, salt: str) -> NDArray[np.float64]:
    """Where each sample lies in [0, 1), by its content alone: the same sample lies there in every retraining."""
    found = [hashlib.sha256(salt.encode() + item).digest()[:8] for item in samples.hashes()]
    return np.array([int.from_bytes(item, "big") / 2**64 for item in found], dtype=np.float64)


def joined(parts: Sequence[Samples]) -> Samples:
    """All samples of the parts that have any; raises DataError where there are none, or they do not fit together."""
    parts = [part for part in parts if len(part)]
    if not parts:
        raise DataError("there are no samples; give data to train on.")
    first = parts[0]
    for part in parts[1:]:
        for name, array in first.inputs.items():
            other = part.inputs.get(name)
            if other is None or other.shape[1:] != array.shape[1:]:
                shape = None if other is None else list(other.shape[1:])
                raise DataError(
                    f"the input {name!r} has the shape {list(array.shape[1:])} in one part of the data and {shape} in another."
                )
        if part.labels.shape[1:] != first.labels.shape[1:]:
            raise DataError("labels of the old data and of the new have different shapes; label both in the same way.")
    inputs = {name: np.concatenate([part.inputs[name] for part in parts]) for name in first.inputs}
    return Samples(inputs, np.concatenate([part.labels for part in parts]))


def nothing_like(samples: Samples) -> Samples:
    """No samples, of the same inputs and labels."""
    return samples.take(np.zeros(0, dtype=np.intp))


def read_all(data: Dataset) -> Samples:
    """All samples of a data set that is bound to a model; raises DataError where it has no labels."""
    if not data.has_labels:
        raise DataError("the old data have no labels, so that nothing can be judged by them; name them with labels = NAME.")
    indices = range(len(data))
    parts = [data.read(indices[at : at + _AT_ONCE]).inputs for at in range(0, len(data), _AT_ONCE)]
    inputs = {spec.name: np.concatenate([part[spec.name] for part in parts]) for spec in data.inputs}
    return Samples(inputs, read_labels(data, indices))


def names_in(path: Path) -> tuple[tuple[str, ...], str]:
    """Names of the inputs and of the labels in a file that `save` wrote, with no column but WORLD."""
    with np.load(path, allow_pickle=False) as file:
        names = tuple(name for name in file.files if name != WORLD)
    label = next(name for name in names if name == label_name([other for other in names if other != name]))
    return tuple(name for name in names if name != label), label


def save(path: Path, samples: Samples, columns: Mapping[str, NDArray[Any]] | None = None) -> None:
    """Write the samples, and columns [n], as .npz, durably; the same samples give the same bytes. Raises DataError."""
    for name in columns or {}:
        if name in samples.inputs:
            raise DataError(
                f"the model has an input {name!r}, which is what a column of these data is called; rename the input."
            )
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {**samples.inputs, label_name(samples.inputs): samples.labels, **(columns or {})}
    np.savez_compressed(buffer, **arrays)
    write_atomic(path, buffer.getvalue())


def load(path: Path, inputs: Sequence[str]) -> tuple[Samples, dict[str, NDArray[Any]]]:
    """Samples of a file, and its columns; raises DataError for one that lacks an input or labels."""
    name = label_name(inputs)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the samples in {path} ({error}); collect them again.") from error
    for needed in (*inputs, name):
        if needed not in arrays:
            raise DataError(f"the samples in {path} have no array {needed!r}; collect them again.")
    found = Samples({key: arrays.pop(key) for key in inputs}, arrays.pop(name))
    return found, arrays
