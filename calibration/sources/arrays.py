"""Samples from named arrays of one length: .npz and .npy files, mappings in memory, tables.

Layout: the inputs that are named, else `x`, else every array of numbers with more than one axis; `y` (or the array that
`labels` names) for labels; every other array of that length is a column.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError, unknown
from ...core.executor import TensorSpec
from ..content import hash_inputs, samples_a_chunk
from ..npz_stream import open_npy, open_npz
from ..spool import FieldRows, MemoryRows, Rows

_INPUT = "x"
_LABELS = "y"


class ArraySource:
    """Named arrays of one length, with the role of each."""

    def __init__(
        self,
        where: str,
        arrays: Mapping[str, Rows],
        labels: str | None = None,
        inputs: Mapping[str, str] | None = None,
    ) -> None:
        """`inputs` maps a model input to the array that feeds it; raises DataError where names or lengths do not fit."""
        self.where = where
        if labels is not None and labels not in arrays:
            raise DataError(f"{where}: {unknown('label array', labels, arrays)}")
        self._labels_name = labels if labels is not None else (_LABELS if _LABELS in arrays else None)
        for name in (inputs or {}).values():
            if name not in arrays:
                raise DataError(f"{where}: {unknown('array', name, arrays)}")
        self._all = arrays
        self._roles = dict(inputs) if inputs else _find_inputs(where, arrays, self._labels_name)
        self._count = _common_length(where, arrays, self._roles.values())
        used = {*self._roles.values(), self._labels_name}
        self._columns = {name: rows for name, rows in arrays.items() if name not in used and self._is_column(rows)}
        self._labels, self.classes = self._open_labels()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """One entry an input."""
        return tuple(
            TensorSpec(name, rows.dtype.name if rows.dtype.kind != "U" else "str", (None, *rows.shape[1:]))
            for name, rows in ((name, self._all[array]) for name, array in self._roles.items())
        )

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays that can be an input."""
        return tuple(name for name in self._all if name in self._columns or name in self._roles.values())

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the arrays that are neither inputs nor labels."""
        return tuple(self._columns)

    @property
    def record_columns(self) -> tuple[str, ...]:
        """The columns that are not fields of another array."""
        return tuple(name for name, rows in self._columns.items() if not isinstance(rows, FieldRows))

    @property
    def has_labels(self) -> bool:
        """Whether there are labels."""
        return self._labels is not None

    def __len__(self) -> int:
        """Number of samples."""
        return self._count

    def read_inputs(self, indices: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Inputs [k, ...] by name."""
        return {name: self._all[array].take(indices) for name, array in self._roles.items()}

    def read_labels(self, indices: Sequence[int]) -> NDArray[Any]:
        """Labels [k, ...]; raises DataError where there are none."""
        if self._labels is None:
            raise DataError(f"{self.where} has no labels; add an array 'y' or name it with labels=NAME.")
        return self._labels.take(indices)

    def read_columns(self, names: Sequence[str], indices: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Columns [k] by name; fields of one array are read together."""
        taken: dict[int, NDArray[Any]] = {}
        found: dict[str, NDArray[Any]] = {}
        for name in names:
            rows = self._columns[name]
            if isinstance(rows, FieldRows):
                key = id(rows.parent)
                if key not in taken:
                    taken[key] = rows.parent.take(indices)
                found[name] = rows.pick(taken[key])
            else:
                found[name] = rows.take(indices)
        return found

    def content_hashes(self) -> Iterator[bytes]:
        """SHA-256 of each sample's inputs."""
        rows = [self._all[array] for array in self._roles.values()]
        step = samples_a_chunk(sum(math.prod(row.shape[1:]) * row.dtype.itemsize for row in rows))
        for start in range(0, self._count, step):
            yield from hash_inputs(self.read_inputs(range(start, min(start + step, self._count))))

    def with_inputs(self, inputs: Mapping[str, str]) -> ArraySource:
        """The same arrays with these inputs; what was an input and is not any more becomes a column."""
        return ArraySource(self.where, self._all, self._labels_name, inputs)

    def _is_column(self, rows: Rows) -> bool:
        is_stack = isinstance(rows, FieldRows) and len(rows.shape) > 1
        return bool(rows.shape) and rows.shape[0] == self._count and rows.dtype.kind in "biufUSM" and not is_stack

    def _open_labels(self) -> tuple[Rows | None, tuple[str, ...]]:
        if self._labels_name is None:
            return None, ()
        rows = self._all[self._labels_name]
        if not rows.shape or rows.shape[0] != self._count:
            count = rows.shape[0] if rows.shape else 1
            raise DataError(
                f"{self.where} has {self._count} samples and {count} labels {self._labels_name!r}; give every sample one label."
            )
        return encode_labels(rows, f"labels {self._labels_name!r} of {self.where}")


class _CastRows:
    """Labels in one type, without a trailing axis of one."""

    def __init__(self, rows: Rows, dtype: np.dtype[Any]) -> None:
        self._rows = rows
        self.dtype = dtype
        shape = rows.shape
        self.shape = shape[:-1] if len(shape) == 2 and shape[1] == 1 else shape

    def take(self, indices: Sequence[int]) -> NDArray[Any]:
        return self._rows.take(indices).astype(self.dtype).reshape(len(indices), *self.shape[1:])


def encode_labels(rows: Rows, where: str) -> tuple[Rows, tuple[str, ...]]:
    """Labels as int64 or floats, [n, 1] as [n]; names become the indices of the sorted names, which come back too."""
    kind = rows.dtype.kind
    if kind in "biu":
        return _CastRows(rows, np.dtype(np.int64)), ()
    if kind == "f":
        return _CastRows(rows, rows.dtype), ()
    if kind not in "US":
        raise DataError(f"{where} are of type {rows.dtype}; give integers, floats or names.")
    names = rows.take(range(rows.shape[0])).astype(np.str_)
    classes, codes = np.unique(names, return_inverse=True)
    if "" in classes:
        raise DataError(f"{where} miss a name at sample {int(np.argmax(names.reshape(-1) == ''))}; label it or remove it.")
    return _CastRows(MemoryRows(codes.reshape(names.shape).astype(np.int64)), np.dtype(np.int64)), tuple(
        str(c) for c in classes
    )


def from_mapping(arrays: Mapping[str, Any], where: str, labels: str | None, inputs: Mapping[str, str] | None) -> ArraySource:
    """Source over arrays in memory; objects become text only where every one is a string. Raises DataError."""
    found: dict[str, Rows] = {}
    for name, value in arrays.items():
        try:
            array = np.asarray(value)
        except (ValueError, TypeError) as error:
            raise DataError(f"array {name!r} of {where} has rows of differing shape; give all one shape.") from error
        if array.dtype.kind == "O":
            if not all(isinstance(item, str) for item in array.reshape(-1)):
                raise DataError(f"array {name!r} of {where} holds Python objects; give numbers or strings of one shape.")
            array = array.astype(np.str_)
        found[str(name)] = MemoryRows(array)
    return ArraySource(where, found, labels, inputs)


def from_npz(path: Path, labels: str | None, inputs: Mapping[str, str] | None, *, trust: bool) -> ArraySource:
    """Source over a .npz file; raises DataError and TrustError."""
    return ArraySource(str(path), open_npz(path, trust=trust), labels, inputs)


def from_npy(path: Path, labels: str | None, inputs: Mapping[str, str] | None, *, trust: bool) -> ArraySource:
    """Source over a .npy file, which is the input `x`; raises DataError and TrustError."""
    return ArraySource(str(path), {_INPUT: open_npy(path, trust=trust)}, labels, inputs)


def _find_inputs(where: str, arrays: Mapping[str, Rows], labels: str | None) -> dict[str, str]:
    if _INPUT in arrays:
        return {_INPUT: _INPUT}
    numbers = {name: rows for name, rows in arrays.items() if name != labels and rows.shape and rows.dtype.kind in "biuf"}
    wide = {name: rows for name, rows in numbers.items() if len(rows.shape) > 1} or numbers
    if not wide:
        raise DataError(f"{where} has no array of numbers to feed a model with; name the input array 'x'.")
    count, _ = Counter(rows.shape[0] for rows in wide.values()).most_common(1)[0]
    return {name: name for name, rows in wide.items() if rows.shape[0] == count}


def _common_length(where: str, arrays: Mapping[str, Rows], names: Any) -> int:
    lengths: dict[str, int] = {}
    for name in names:
        if arrays[name].dtype.kind not in "biufU" or not arrays[name].shape:
            raise DataError(
                f"array {name!r} of {where} cannot feed a model: it is {arrays[name].dtype} {list(arrays[name].shape)}."
            )
        lengths[name] = arrays[name].shape[0]
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
        raise DataError(f"input arrays of {where} differ in length ({told}); give every sample every input.")
    count = next(iter(lengths.values()))
    if count == 0:
        raise DataError(f"{where} holds no samples; give at least three.")
    return count
