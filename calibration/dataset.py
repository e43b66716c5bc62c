"""The contract of a data set: samples read by index, never all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from ..core.executor import TensorSpec


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
