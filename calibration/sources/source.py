"""The contract of a source: samples as they are stored, before preprocessing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from ...core.executor import TensorSpec


class Source(Protocol):
    """Samples by index. Its `inputs` may have free sizes (None) where samples differ in shape."""

    @property
    def where(self) -> str:
        """The file or folder, for messages."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """One entry an input, batch axis None."""

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays that can be an input."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""

    @property
    def record_columns(self) -> tuple[str, ...]:
        """The columns that are content of their own (a file's name is not, nor is a view of an input)."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by label, where labels were names."""

    @property
    def has_labels(self) -> bool:
        """Whether there are labels."""

    def __len__(self) -> int:
        """Number of samples."""

    def read_inputs(self, indices: Sequence[int]) -> Mapping[str, NDArray[Any] | Iterator[NDArray[Any]]]:
        """Inputs by name: an array [k, ...], or an iterator of samples where their shapes may differ."""

    def read_labels(self, indices: Sequence[int]) -> NDArray[Any]:
        """Labels [k, ...]."""

    def read_columns(self, names: Sequence[str], indices: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Columns [k] by name."""

    def content_hashes(self) -> Iterator[bytes]:
        """SHA-256 of each sample's inputs, in order."""

    def with_inputs(self, inputs: Mapping[str, str]) -> Source:
        """The same samples with these inputs, each fed by the named array; raises DataError where there is none."""
