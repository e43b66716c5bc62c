"""Samples that are one file each, decoded when they are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ...core.errors import DataError, unknown
from ...core.executor import TensorSpec
from .folder import Listing


class FileSource(ABC):
    """One file a sample; a subclass says how a file is decoded and hashed."""

    array = "x"

    def __init__(self, listing: Listing, name: str = "x") -> None:
        self._listing = listing
        self._name = name

    @property
    def where(self) -> str:
        """The folder."""
        return str(self._listing.root)

    @property
    @abstractmethod
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The one input."""

    @property
    def arrays(self) -> tuple[str, ...]:
        """The one array."""
        return (self.array,)

    @property
    def columns(self) -> tuple[str, ...]:
        """`file`, and `group` where there are groups."""
        return self._listing.columns

    @property
    def record_columns(self) -> tuple[str, ...]:
        """`group`, where there are groups."""
        return self._listing.record_columns

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the folders."""
        return self._listing.classes

    @property
    def has_labels(self) -> bool:
        """Whether the files lie in classes."""
        return self._listing.labels is not None

    def __len__(self) -> int:
        """Number of files."""
        return len(self._listing.files)

    def read_inputs(self, indices: Sequence[int]) -> Mapping[str, Iterator[NDArray[Any]]]:
        """The files, decoded one by one."""
        return {self._name: (self.decode(self.path(index)) for index in indices)}

    def read_labels(self, indices: Sequence[int]) -> NDArray[Any]:
        """Labels [k]."""
        return self._listing.labels_at(indices)

    def read_columns(self, names: Sequence[str], indices: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Columns [k] by name."""
        return self._listing.columns_at(names, indices)

    def content_hashes(self) -> Iterator[bytes]:
        """SHA-256 of each file's content."""
        for index in range(len(self)):
            yield self.hash(self.path(index))

    def with_inputs(self, inputs: Mapping[str, str]) -> FileSource:
        """The same files under another input's name; raises DataError where more is asked for."""
        if len(inputs) != 1:
            raise DataError(
                f"{self.where} feeds one input and {len(inputs)} are asked for; give a .npz with one array an input."
            )
        [(name, array)] = inputs.items()
        if array not in (self.array, self._name):
            raise DataError(f"{self.where}: {unknown('array', array, self.arrays)}")
        return type(self)(self._listing, name)

    def path(self, index: int) -> Path:
        """The file of a sample."""
        return self._listing.root / self._listing.files[index]

    @abstractmethod
    def decode(self, path: Path) -> NDArray[Any]:
        """The file as an array; raises DataError."""

    @abstractmethod
    def hash(self, path: Path) -> bytes:
        """SHA-256 of the file's content; raises DataError."""
