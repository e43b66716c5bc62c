"""Samples from a .csv or .parquet file: numeric columns are features, stacked as float32 `x` [n, features] in file order.

The label column is the one that is named, else `y`, `label` or `target`. Columns of text are slice columns ("" where a value
is missing); every numeric column can be used as a slice too, and with `inputs` those that feed nothing keep
their own type. The file is read in pieces and the features lie on disk.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...core.errors import DataError, EdgewrightWarning, unknown
from ..spool import FieldRows, MemoryRows, Rows, RowWriter, TextRows
from .arrays import ArraySource

_PIECE_ROWS = 16384
_LABEL_NAMES = ("y", "label", "target")
_LIMIT_BYTES = 32 << 30
_INPUT = "x"

_Pieces = Callable[[frozenset[str]], Iterator[pd.DataFrame]]


def from_table(path: Path, labels: str | None, inputs: Mapping[str, str] | None) -> ArraySource:
    """Source over a table; `inputs` maps a model input to one column or to several, "a,b,c". Raises DataError."""
    pieces: _Pieces = (
        (lambda _: _parquet(path)) if path.suffix.lower() in (".parquet", ".pq") else (lambda text: _csv(path, text))
    )
    with _one_sentence(path):
        text, numeric, count = _kinds(path, pieces)
    names = (*numeric, *text)
    label = _label_column(path, labels, (*numeric, *text))
    usable = tuple(name for name in numeric if name != label)
    chosen = _chosen(path, inputs, usable, names, label)
    fed = {column for columns in chosen.values() for column in columns}
    features = usable if inputs is None else tuple(name for name in usable if name in fed)
    writer = RowWriter((len(features),), np.dtype(np.float32), str(path), _LIMIT_BYTES)
    texts: dict[str, list[str]] = {name: [] for name in names if name in text}
    numbers: dict[str, list[NDArray[Any]]] = {name: [] for name in numeric if name not in features}
    inexact: dict[str, int] = {}
    with _one_sentence(path):
        for piece in pieces(text):
            writer.write(piece[list(features)].to_numpy(np.float32))
            inexact.update(_inexact(piece, features))
            for name, values in texts.items():
                values.extend(_texts(piece[name]))
            for name, pieces_of in numbers.items():
                pieces_of.append(piece[name].to_numpy())
    for name, value in inexact.items():
        warnings.warn(
            f"column {name!r} of {path} has {value}, which float32 rounds; leave it out with inputs x=COLUMN,COLUMN.",
            EdgewrightWarning,
            stacklevel=3,
        )
    x = writer.rows()
    if x.shape[0] != count:
        raise DataError(f"{path} changed while it was read; run again when it is finished.")
    arrays: dict[str, Rows] = {name: TextRows(values) for name, values in texts.items()}
    arrays.update({name: MemoryRows(np.concatenate(values)) for name, values in numbers.items()})
    places = {name: place for place, name in enumerate(features)}
    if inputs is None:
        if not features:
            raise DataError(f"{path} has no numeric column to feed a model with; write the features as numbers.")
        arrays[_INPUT] = FieldRows(x, tuple(range(len(features))), is_single=False)
    for name, place in places.items():
        if name != _INPUT or inputs is not None:
            arrays[name] = FieldRows(x, (place,), is_single=True)
    roles = {_INPUT: _INPUT} if inputs is None else {}
    for name, columns in chosen.items():
        role = f"{name}="
        arrays[role] = FieldRows(x, tuple(places[column] for column in columns), is_single=False)
        roles[name] = role
    return ArraySource(str(path), arrays, label, roles)


def _kinds(path: Path, pieces: _Pieces) -> tuple[frozenset[str], tuple[str, ...], int]:
    """Names of the columns of text, names of the numeric ones in file order, number of rows."""
    text: set[str] = set()
    names: tuple[str, ...] = ()
    count = 0
    for piece in pieces(frozenset()):
        names = tuple(str(name) for name in piece.columns)
        text |= {str(name) for name, kind in piece.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)}
        count += len(piece)
    if not count:
        raise DataError(f"{path} holds no rows; give at least three.")
    for name in names:
        if not name or name.startswith("Unnamed:"):
            raise DataError(f"{path} has a column without a name, perhaps an index; write it with index=False.")
    return frozenset(text), tuple(name for name in names if name not in text), count


def _label_column(path: Path, labels: str | None, names: tuple[str, ...]) -> str | None:
    if labels is not None:
        if labels not in names:
            raise DataError(f"{path}: {unknown('label column', labels, names)}")
        return labels
    found = [name for name in _LABEL_NAMES if name in names]
    if len(found) > 1:
        raise DataError(f"{path} has the columns {' and '.join(found)}, and one is the label; name it with labels=NAME.")
    return found[0] if found else None


def _chosen(
    path: Path, inputs: Mapping[str, str] | None, features: tuple[str, ...], names: tuple[str, ...], label: str | None
) -> dict[str, tuple[str, ...]]:
    chosen: dict[str, tuple[str, ...]] = {}
    for name, value in (inputs or {}).items():
        if value == _INPUT and _INPUT not in names:
            chosen[name] = features
            continue
        columns = (value,) if value in names else tuple(part.strip() for part in value.split(","))
        for column in columns:
            if column == label or column not in names:
                raise DataError(f"{path}: {unknown('feature column', column, [n for n in names if n != label])}")
            if column not in features:
                raise DataError(f"column {column!r} of {path} is text and cannot feed a model; write it as numbers.")
        chosen[name] = columns
    return chosen


def _texts(values: pd.Series[Any]) -> Iterator[str]:
    return (str(value) for value in values.astype(object).where(values.notna(), ""))


def _inexact(piece: pd.DataFrame, features: tuple[str, ...]) -> dict[str, int]:
    """A whole number that float32 cannot hold, by feature."""
    found: dict[str, int] = {}
    for name in features:
        values = piece[name].to_numpy()
        if values.dtype.kind in "iu" and len(values):
            bad = values[values.astype(np.float32).astype(np.float64) != values.astype(np.float64)]
            if len(bad):
                found[name] = int(bad[0])
    return found


def _csv(path: Path, text: frozenset[str]) -> Iterator[pd.DataFrame]:
    with pd.read_csv(path, chunksize=_PIECE_ROWS, dtype=dict.fromkeys(text, str), encoding="utf-8") as reader:
        yield from reader


def _parquet(path: Path) -> Iterator[pd.DataFrame]:
    import pyarrow.parquet
    import pyarrow.types

    with pyarrow.parquet.ParquetFile(path) as file:
        kept: list[str] = []
        for field in file.schema_arrow:
            kind = field.type.value_type if pyarrow.types.is_dictionary(field.type) else field.type
            if field.name.startswith("__index_level_"):
                continue
            if pyarrow.types.is_nested(kind) or pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind):
                raise DataError(f"column {field.name!r} of {path} is of type {field.type}; give numbers or text.")
            kept.append(field.name)
        for batch in file.iter_batches(_PIECE_ROWS, columns=kept):
            yield batch.to_pandas(ignore_metadata=True)


@contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError, OverflowError, KeyError) as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DataError(f"{path} cannot be read as a table ({reason[:160].replace('. ', ', ')}); write it anew.") from error
