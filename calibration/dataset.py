"""The contract of a data set: samples read by index, never all at once."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, unknown
from ..core.executor import TensorSpec

_CHUNK_SAMPLES = 256


@dataclass(frozen=True)
class Batch:
    """Samples `indices` of a data set: inputs [n, ...] by model input, labels [n, ...] or None, columns [n] by name."""

    inputs: Mapping[str, NDArray[Any]]
    labels: NDArray[Any] | None
    columns: Mapping[str, NDArray[Any]]
    indices: Sequence[int]


class Dataset(Protocol):
    """Inputs with optional labels and columns. `inputs` are the specifications after preprocessing, batch axis None."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """One entry a model input."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns (slices, groups)."""

    @property
    def has_labels(self) -> bool:
        """Whether `Batch.labels` is there."""

    @property
    def digest(self) -> str:
        """SHA-256 of content and preprocessing."""

    def __len__(self) -> int:
        """Number of samples."""

    def read(self, indices: Sequence[int]) -> Batch:
        """The samples at `indices`, in that order; raises DataError."""


class PartialDataset(Dataset, Protocol):
    """A data set that can be asked for its parts: what `open_dataset` and `bind` return."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by label, where the labels were names; else empty."""

    def labels_at(self, indices: Sequence[int]) -> NDArray[Any]:
        """Labels [n, ...] alone; raises DataError where there are none."""

    def column_at(self, name: str, indices: Sequence[int]) -> NDArray[Any]:
        """Column `name` [n] alone; raises DataError where it is unknown."""

    def hashes(self) -> tuple[bytes, ...]:
        """SHA-256 of each sample's inputs as they are stored, before preprocessing."""

    def records(self) -> tuple[bytes, ...]:
        """SHA-256 of each sample's inputs, label and columns together."""

    def with_inputs(self, inputs: Mapping[str, str]) -> PartialDataset:
        """The same data with these model inputs, each fed by the named array; what is left over becomes a column."""

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays that can be an input."""


def is_partial(data: Dataset) -> TypeGuard[PartialDataset]:
    """Whether `data` can be asked for its parts."""
    return has_attributes(data, ("arrays", "column_at", "hashes", "labels_at", "records", "with_inputs"))


def has_attributes(value: object, names: Sequence[str]) -> bool:
    """Whether `value` has all of `names`, without computing a property: `hasattr` would read the data for their digest."""
    missing = object()
    return all(inspect.getattr_static(value, name, missing) is not missing for name in names)


@dataclass(frozen=True)
class Split:
    """A part of a data set: `name` is "accept", "search", "calib" or "audit"."""

    name: str
    data: Dataset
    indices: tuple[int, ...]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.indices)

    def batches(self, size: int) -> Iterator[Batch]:
        """The samples in order, `size` at a time."""
        for start in range(0, len(self.indices), size):
            yield self.data.read(self.indices[start : start + size])


class _NoSamples:
    """A data set with nothing in it."""

    inputs: tuple[TensorSpec, ...] = ()
    columns: tuple[str, ...] = ()
    has_labels = False
    digest = hashlib.sha256(b"").hexdigest()

    def __len__(self) -> int:
        return 0

    def read(self, indices: Sequence[int]) -> Batch:
        raise DataError("there are no data to read samples from; name them.")


def no_samples(name: str) -> Split:
    """A split without samples, for what can do without data and does better with them."""
    return Split(name, _NoSamples(), ())


def chunks(indices: Sequence[int], size: int = _CHUNK_SAMPLES) -> Iterator[Sequence[int]]:
    """`indices` in pieces of at most `size`."""
    for start in range(0, len(indices), size):
        yield indices[start : start + size]


def read_labels(data: Dataset, indices: Sequence[int]) -> NDArray[Any]:
    """Labels [n, ...] at `indices`, without the inputs where the data set allows; raises DataError where there are none."""
    if not data.has_labels:
        raise DataError("the data have no labels; add an array 'y' (or a label column) or name it with labels=NAME.")
    if is_partial(data):
        return data.labels_at(indices)
    parts = [data.read(piece).labels for piece in chunks(indices)]
    found = [part for part in parts if part is not None]
    if len(found) != len(parts):
        raise DataError("the data set says that it has labels but returned none; give every batch its labels.")
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def read_column(data: Dataset, name: str, indices: Sequence[int]) -> NDArray[Any]:
    """Column `name` [n] at `indices`, without the inputs where the data set allows; raises DataError where it is unknown."""
    if name not in data.columns:
        raise DataError(unknown("column", name, data.columns))
    if is_partial(data):
        return data.column_at(name, indices)
    parts = [data.read(piece).columns[name] for piece in chunks(indices)]
    return np.concatenate(parts) if parts else np.zeros(0, np.str_)
