"""What stays of every tensor when some units of some groups are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ...core.errors import PassError, unknown
from ...ir.model import Model
from .layout import Span, is_product, kept_shape, span_of
from .shapes import Shape
from .trace import Trace
from .units import Family, families
from .walk import trace

Keep = Mapping[str, Sequence[int]]
"""By group's name, the units that stay, ascending; of a group that is not named, all stay."""


class Keeping:
    """The traced model, and which of its positions stay."""

    def __init__(self, traced: Trace, gone: NDArray[np.int64]) -> None:
        """Know the roots of all units that go."""
        self.trace = traced
        self.loses = gone.size > 0
        self._stays = np.ones(traced.labels.count, bool)
        self._stays[gone] = False

    def mask(self, span: Span) -> NDArray[np.bool_]:
        """Which positions stay, in the shape of the span."""
        return self._stays[self.trace.labels.roots(span.ids)]

    def spans(self, value: onnx_ir.Value | None) -> list[Span]:
        """Spans of a value of which something goes."""
        layout = self.trace.layouts.get(str(value.name), ()) if value is not None else ()
        return [span for span in layout if not self.mask(span).all()]

    def positions(self, value: onnx_ir.Value | None, axis: int) -> NDArray[np.int64] | None:
        """Positions that stay on one axis of a value, or None where all do; its labels must lie on this axis alone."""
        span = span_of(tuple(self.spans(value)), axis)
        return None if span is None or len(span.axes) > 1 else np.flatnonzero(self.mask(span))

    def is_whole(self, value: onnx_ir.Value | None) -> bool:
        """Whether what stays of the value is a tensor, in the order that the operators before it give."""
        masks = [(span, self.mask(span)) for span in self.spans(value)]
        return all(is_product(mask) or (span.is_ordered and kept_shape(mask) is not None) for span, mask in masks)

    def shape(self, value: onnx_ir.Value) -> Shape:
        """Sizes of what stays, at batch 1."""
        sizes = list(self.trace.shape(value))
        for span in self.spans(value):
            for axis, size in zip(span.axes, kept_shape(self.mask(span)) or (), strict=True):
                sizes[axis] = size
        return tuple(sizes)


def keeping(model: Model, keep: Keep) -> Keeping:
    """What stays of a model; raises PassError for an unknown group, or units that cannot be kept alone."""
    traced = trace(model)
    found = {family.name: family for family in families(traced) if len(family.roots) > 1}
    gone = [np.zeros(0, np.int64)]
    for name, units in keep.items():
        if name not in found:
            raise PassError(unknown("group of channels", name, found) if found else f"the model has no group {name!r}.")
        gone.append(np.delete(found[name].roots, _checked(found[name], units)))
    return Keeping(traced, np.concatenate(gone))


def _checked(family: Family, units: Sequence[int]) -> NDArray[np.int64]:
    kept, count = np.asarray(units, np.int64), len(family.roots)
    if kept.size == 0:
        raise PassError(f"nothing of the group {family.name!r} would be kept; keep at least one of its {count} units.")
    if kept.min() < 0 or kept.max() >= count or bool((np.diff(kept) <= 0).any()):
        raise PassError(f"the units to keep of the group {family.name!r} must be ascending numbers from 0 to {count - 1}.")
    if family.partitions is not None:
        sizes = [int((family.partitions[kept] == part).sum()) for part in np.unique(family.partitions)]
        if len(set(sizes)) > 1 or 0 in sizes:
            raise PassError(
                f"the group {family.name!r} would keep {min(sizes)} to {max(sizes)} units in its {len(sizes)} partitions; "
                "keep as many in each, and at least one."
            )
    return kept
