"""The gate when the user names none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ...core.errors import GateError
from .decisions import Array
from .text import Gate, parse_gate


def default_gate(labels: Array | None, outputs: Array, input_shapes: Iterable[Sequence[int | None]] = ()) -> Gate:
    """A gate that fits labels [n, ...] (or None) and the reference's outputs [n, ...]; print it, it is a guess.

    Labelled classification `top1 >= -1pt`; labelled regression `rmse <= 102% of reference`; without labels `agreement >= 98%`
    for what looks like a classifier, else `cosine >= 0.99`. `input_shapes` are those of the model's inputs [batch, ...]:
    an output with as many numbers a sample as one of them is a reconstruction. Raises GateError when there are no outputs.
    """
    values = np.asarray(outputs)
    if values.ndim == 0 or values.size == 0:
        raise GateError("the model has no outputs to judge, so no gate can be chosen; check the model and the data.")
    wide = [size for size in values.shape[1:] if size != 1]
    columns = wide[0] if wide else 1
    flat = values.reshape(len(values), -1)
    if labels is None:
        is_share = bool(np.isfinite(flat).all() and flat.min() >= 0 and flat.max() <= 1)
        sizes = {math.prod(size for size in shape[1:] if size is not None) for shape in input_shapes}
        is_class = is_share if columns == 1 else len(wide) == 1 and columns not in sizes
        return parse_gate("agreement >= 98%" if is_class else "cosine >= 0.99")
    is_class = len(wide) <= 1 and _are_classes(np.asarray(labels), columns)
    return parse_gate("top1 >= -1pt" if is_class else "rmse <= 102% of reference")


def _are_classes(labels: Array, columns: int) -> bool:
    """Whether labels are class numbers (or one-hot) of a model with so many columns."""
    if labels.dtype.kind not in "biuf" or labels.size == 0:
        return False
    flat = labels.reshape(len(labels), -1).astype(np.float64)
    if not np.isfinite(flat).all() or (flat != np.round(flat)).any():
        return False
    if flat.shape[1] > 1:
        return flat.shape[1] == columns and bool(np.isin(flat, (0, 1)).all() and (flat.sum(axis=1) == 1).all())
    return bool(flat.min() >= 0 and flat.max() < max(2, columns))
