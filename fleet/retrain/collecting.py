"""From samples as devices kept them to arrays: an .npz of what the deployed versions answered, one of what earlier ones did."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...calibration.labels import label_name
from ...core.errors import ProtocolError
from ...core.executor import TensorSpec
from ...core.files import write_atomic
from ..telemetry.sample_file import unpack
from .ports import Labelled

if TYPE_CHECKING:
    from numpy.typing import NDArray

INPUT = "input."
Row = tuple[dict[str, "NDArray[Any]"], float, bool]  # inputs [1, ...], label, whether chance kept it


def collect(
    samples: Iterable[Labelled], inputs: Sequence[TensorSpec], deployed: Collection[str], new: Path, earlier: Path
) -> dict[str, Any]:
    """Write the samples of the artifacts `deployed` to `new`, those of others to `earlier`, durably; how many they are.

    Arrays are called as the model's `inputs`, [n, ...]; labels "y", or the next name that no input has. A sample that does not
    fit (several requests in one, another shape or type than the model takes, a label that is no number) is left out and
    counted; where the model leaves a size free, so are those of any other size than most have.
    """
    by_shape: dict[tuple[Any, ...], list[tuple[bool, Row]]] = {}
    count = 0
    for item in samples:
        count += 1
        arrays, label = _read(item, inputs), _number(item.label)
        if arrays is not None and label is not None:
            shape = tuple(array.shape for array in arrays.values())
            by_shape.setdefault(shape, []).append((item.sha256 in deployed, (arrays, label, item.is_random)))
    kept = max(by_shape.values(), key=len, default=[])
    found = {wanted: [row for is_new, row in kept if is_new == wanted] for wanted in (True, False)}
    whole = all(label == round(label) for rows in found.values() for _, label, _ in rows)
    for is_new, path in ((True, new), (False, earlier)):
        path.unlink(missing_ok=True)
        if found[is_new]:
            _write(path, found[is_new], [spec.name for spec in inputs], np.int64 if whole else np.float32)
    return {"new": len(found[True]), "earlier": len(found[False]), "left_out": count - len(kept)}


def _read(item: Labelled, inputs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]] | None:
    """The inputs of one request [1, ...]; None for a file that does not hold one request as the model takes it."""
    try:
        arrays, _ = unpack(item.data)
    except ProtocolError:
        return None
    found = {spec.name: arrays.get(INPUT + spec.name) for spec in inputs}
    whole = {spec.name: array for spec in inputs if (array := found[spec.name]) is not None and _fits(array, spec)}
    return whole if len(whole) == len(found) else None


def _fits(array: NDArray[Any], spec: TensorSpec) -> bool:
    if array.dtype != np.dtype(spec.dtype) or array.ndim != max(1, len(spec.shape)) or len(array) != 1:
        return False
    return all(size in (None, there) for size, there in zip(spec.shape[1:], array.shape[1:], strict=True))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _write(path: Path, rows: Sequence[Row], inputs: Sequence[str], kind: type) -> None:
    arrays: dict[str, Any] = {name: np.concatenate([row[0][name] for row in rows]) for name in inputs}
    arrays[label_name(inputs)] = np.array([label for _, label, _ in rows], dtype=kind)
    arrays["is_random"] = np.array([is_random for _, _, is_random in rows], dtype=bool)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomic(path, buffer.getvalue())
