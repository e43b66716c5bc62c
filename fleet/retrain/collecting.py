"""From samples as devices kept them to arrays: an .npz of what the deployed versions answered, one of what earlier ones did."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...calibration.labels import label_name
from ...core.errors import ProtocolError
from ...core.files import write_atomic
from ..telemetry.sample_file import unpack
from .ports import Labelled

if TYPE_CHECKING:
    from numpy.typing import NDArray

INPUT = "input."


def collect(
    samples: Iterable[Labelled], inputs: Sequence[str], deployed: Collection[str], new: Path, earlier: Path
) -> dict[str, Any]:
    """Write the samples of the artifacts `deployed` to `new`, those of others to `earlier`, durably; how many they are.

    Arrays are called as the model's `inputs`, [n, ...]; labels "y", or the next name that no input has. A sample that does not
    fit (several requests in one, another shape, a label that is no number) is left out and counted.
    """
    found: dict[bool, list[tuple[dict[str, NDArray[Any]], float, bool]]] = {True: [], False: []}
    left_out, shapes = 0, None
    for item in samples:
        arrays, label = _read(item, inputs), _number(item.label)
        shape = None if arrays is None else {name: (array.shape, array.dtype.str) for name, array in arrays.items()}
        shapes = shapes or shape
        if arrays is None or label is None or shape != shapes:
            left_out += 1
            continue
        found[item.sha256 in deployed].append((arrays, label, item.is_random))
    whole = all(label == round(label) for rows in found.values() for _, label, _ in rows)
    for is_new, path in ((True, new), (False, earlier)):
        path.unlink(missing_ok=True)
        if found[is_new]:
            _write(path, found[is_new], inputs, np.int64 if whole else np.float32)
    return {"new": len(found[True]), "earlier": len(found[False]), "left_out": left_out}


def _read(item: Labelled, inputs: Sequence[str]) -> dict[str, NDArray[Any]] | None:
    """The inputs of one request [1, ...]; None for a file that is none of this model, or holds several."""
    try:
        arrays, _ = unpack(item.data)
    except ProtocolError:
        return None
    found = {name: arrays.get(INPUT + name) for name in inputs}
    whole = {name: array for name, array in found.items() if array is not None and array.ndim and len(array) == 1}
    return whole if len(whole) == len(found) else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _write(path: Path, rows: Sequence[tuple[dict[str, NDArray[Any]], float, bool]], inputs: Sequence[str], kind: type) -> None:
    arrays: dict[str, Any] = {name: np.concatenate([row[0][name] for row in rows]) for name in inputs}
    arrays[label_name(inputs)] = np.array([label for _, label, _ in rows], dtype=kind)
    arrays["is_random"] = np.array([is_random for _, _, is_random in rows], dtype=bool)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomic(path, buffer.getvalue())
