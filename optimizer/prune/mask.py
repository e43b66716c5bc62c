"""Units are masked: the same shapes, and what removal would take away counts for nothing."""

from __future__ import annotations

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ...ir.model import Model, constant, initializer
from ...ir.rewrites.forms import fresh, replace
from .adjust import refill, share
from .keeping import Keep, Keeping, keeping
from .layout import on_grid
from .masked_norms import NORMS, masked_norm
from .rules.reducing import reduced_axes

_LOWEST = float(np.finfo(np.float32).min)
_FILLS = {"ReduceMax": _LOWEST, "ReduceMin": -_LOWEST}
_NAMES = {0.0: "masked", _LOWEST: "least", -_LOWEST: "greatest"}


def mask(model: Model, keep: Keep) -> Model:
    """`model` in the same shapes, computing what `remove(model, keep)` computes.

    Wherever a node sums or normalizes over positions that go, it reads zeros there (the least or the greatest number where
    it takes a maximum or a minimum), and statistics are those of what stays. Everything else is left as it is.

    Before::

        a = Relu(Conv(x, @w)); y = Conv(a, @v)

    After::

        a = Relu(Conv(x, @w)); m = Where(@stays:bool[1, 8, 1, 1], a, 0); y = Conv(m, @v)

    Raises PassError as `remove` does.
    """
    left = keeping(model, keep)
    masked = _Masked(left)
    for mixer in left.trace.mixers:
        value = mixer.node.inputs[mixer.operand]
        if value is None or not left.spans(value):
            continue
        if mixer.node.op_type in NORMS:
            stays = masked.stays(value)
            replace(masked.graph, mixer.node, masked_norm(mixer.node, masked.graph, stays, left.trace.shape(value)))
        else:
            mixer.node.replace_input_with(mixer.operand, masked.value(value, _FILLS.get(mixer.node.op_type, 0.0)))
            if mixer.node.op_type == "ReduceMean":
                masked.mean(mixer.node, value)
    for node in masked.graph:
        if node.op_type in ("LSTM", "GRU", "RNN"):
            _forget(node, left)
    share(masked.graph, left.trace.origin)
    return left.trace.model


class _Masked:
    """Values with a constant in the place of what goes, made once for all their readers."""

    def __init__(self, left: Keeping) -> None:
        self._left = left
        self.graph = left.trace.model.graph
        self._made: dict[tuple[str, float], onnx_ir.Value] = {}

    def stays(self, value: onnx_ir.Value) -> NDArray[np.bool_]:
        """What stays of a value, of size 1 on axes that stay whole."""
        shape = self._left.trace.shape(value)
        found = np.ones([1] * len(shape), bool)
        for span in self._left.spans(value):
            found = found & on_grid(span, self._left.mask(span), shape)
        return found

    def value(self, value: onnx_ir.Value, fill: float) -> onnx_ir.Value:
        """`Where(stays, value, fill)`."""
        key = str(value.name), fill
        if key not in self._made:
            stays = self._constant(f"{value.name}/stays", self.stays(value))
            other = self._constant(f"{value.name}/fill", np.array(fill, np.float32))
            node = onnx_ir.node("Where", [stays, value, other])
            made = node.outputs[0]
            made.name, made.shape, made.type = f"{value.name}/{_NAMES[fill]}", value.shape, value.type
            maker = value.producer()
            if maker is None:
                self.graph.insert_before(self.graph[0], node)
            else:
                self.graph.insert_after(maker, node)
            self._made[key] = made
        return self._made[key]

    def mean(self, node: onnx_ir.Node, value: onnx_ir.Value) -> None:
        """Let a mean that has read zeros be that of what stays."""
        shape = self._left.trace.shape(value)
        axes = reduced_axes(node, len(shape))
        stays = np.broadcast_to(self.stays(value), shape)
        total = np.prod([shape[axis] for axis in axes])
        kept = stays.any(axis=tuple(axis for axis in range(len(shape)) if axis not in axes)).sum()
        factor = self._constant(f"{node.outputs[0].name}/share", np.array(total / kept, np.float32))
        again = onnx_ir.node("ReduceMean", list(node.inputs), dict(node.attributes))
        replace(self.graph, node, [again, onnx_ir.node("Mul", [again.outputs[0], factor])])

    def _constant(self, name: str, array: NDArray[np.generic]) -> onnx_ir.Value:
        value = initializer(fresh(self.graph, name), array)
        self.graph.register_initializer(value)
        return value


def _forget(node: onnx_ir.Node, left: Keeping) -> None:
    """Units of a recurrent layer that go are not read at the next step either."""
    weight = node.inputs[2]
    kept, array = left.positions(weight, 2), constant(weight)
    if weight is not None and kept is not None and array is not None:
        blank = np.zeros_like(array)
        blank[:, :, kept] = array[:, :, kept]
        refill(weight, blank)
