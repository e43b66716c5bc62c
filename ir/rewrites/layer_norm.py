"""Layer normalization that exporters write out, taken back to one operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ..model import constant
from .matching import flat, is_narrow, is_number, maker, partners, sole_maker, weight

_ROUNDING = 1e-6  # a few roundings of float32
_MOST_STEPS = 6
_Nodes = list[onnx_ir.Node]


@dataclass(frozen=True)
class _Normalized:
    """`gain * (x - mean) / sqrt(variance + epsilon)` over one axis of x; `gain` has one number for each place on it."""

    x: onnx_ir.Value
    axis: int
    epsilon: float
    gain: NDArray[Any]


def layer_norm(node: onnx_ir.Node, graph: onnx_ir.Graph) -> _Nodes | None:
    """The product that ends a layer normalization -> `LayerNormalization`.

    Before, and with Reciprocal, Pow or a negative variance set to 0::

        m = ReduceMean(x, [-1]); d = Sub(x, m); v = ReduceMean(Mul(d, d), [-1])      or  v = ReduceMean(Mul(x, x)) - m * m
        y = Div(d, Sqrt(Add(v, @epsilon)))

    After::

        y = LayerNormalization{axis=-1, epsilon}(x, @ones)

    Over another axis only where a Transpose follows that brings this axis to the end and so cancels the one that is put in.
    The variance is a mean of squares in both forms, so that setting a negative one to 0 undoes rounding and nothing else.
    """
    found = _normalized(node)
    return None if found is None else _whole(node, graph, found)


def shifted_norm(node: onnx_ir.Node, graph: onnx_ir.Graph) -> _Nodes | None:
    """The sum that ends a layer normalization whose mean is taken away last, as Keras writes it -> `LayerNormalization`.

    Before, with m and v as above::

        q = Mul(Reciprocal(Sqrt(Add(v, @epsilon))), @gain); y = Add(Mul(x, q), Add(Mul(Neg(m), q), @shift))

    After::

        y = LayerNormalization{axis=-1, epsilon}(x, @gain, @shift)
    """
    for product, rest in ((node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])):
        scaled = maker(product, "Mul")
        found = _shift(rest)
        if scaled is None or found is None or product is None or node.outputs[0].shape != product.shape:
            continue
        mean, factor, shift = found
        centre = _mean(mean)
        if centre is None or factor not in scaled.inputs or centre[0] not in scaled.inputs or factor is centre[0]:
            continue
        x, axis = centre
        if not is_narrow(mean, None, x, axis) or product.shape != x.shape:
            continue
        scaling = _scaling(x, axis, factor, divides=False)
        vector = None if scaling is None or x.shape is None else _along(shift, len(x.shape), axis, scaling[1].size)
        if scaling is not None and vector is not None:
            return _whole(node, graph, _Normalized(x, axis, *scaling), vector)
    return None


def _shift(value: onnx_ir.Value | None) -> tuple[onnx_ir.Value, onnx_ir.Value, NDArray[Any]] | None:
    """(m, q, b) of `Add(Mul(Neg(m), q), @b)` or of `Sub(@b, Mul(m, q))`."""
    node = maker(value, "Add", "Sub")
    if node is None:
        return None
    places = [1] if node.op_type == "Sub" else [0, 1]
    for place in places:
        product, array = maker(node.inputs[place], "Mul"), constant(node.inputs[1 - place])
        if product is None or array is None:
            continue
        for first, factor in ((product.inputs[0], product.inputs[1]), (product.inputs[1], product.inputs[0])):
            negative = maker(first, "Neg")
            mean = first if node.op_type == "Sub" else negative.inputs[0] if negative is not None else None
            if mean is not None and factor is not None and _mean(mean) is not None:
                return mean, factor, array
    return None


def _whole(node: onnx_ir.Node, graph: onnx_ir.Graph, found: _Normalized, shift: NDArray[Any] | None = None) -> _Nodes | None:
    """LayerNormalization in the place of `node`, or None where it would need Transposes that nothing cancels."""
    if found.x.shape is None:
        return None
    rank = len(found.x.shape)
    weights = [weight(graph, node, "gain", found.gain)]
    if shift is not None:
        weights.append(weight(graph, node, "shift", shift))
    fields = {"axis": -1, "epsilon": found.epsilon}
    if found.axis == rank - 1:
        return [onnx_ir.node("LayerNormalization", [found.x, *weights], fields)]
    if not _is_turned(node.outputs[0], found.axis):
        return None
    there = [*(axis for axis in range(rank) if axis != found.axis), found.axis]
    back = [there.index(axis) for axis in range(rank)]
    turned = onnx_ir.node("Transpose", [found.x], {"perm": there})
    whole = onnx_ir.node("LayerNormalization", [turned.outputs[0], *weights], fields)
    return [turned, whole, onnx_ir.node("Transpose", [whole.outputs[0]], {"perm": back})]


def gain_or_shift(node: onnx_ir.Node, graph: onnx_ir.Graph) -> _Nodes | None:
    """`Mul(LayerNormalization(x, @g), @h)` -> `LayerNormalization(x, @(g * h))`; `Add` likewise; also behind a Transpose."""
    for value, other in ((node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])):
        array = constant(other)
        maker = sole_maker(value)
        order = maker.attributes.get_ints("perm", None) if maker is not None and maker.op_type == "Transpose" else None
        whole = sole_maker(maker.inputs[0]) if maker is not None and order is not None else maker
        if array is None or value is None or value.shape is None or whole is None or whole.op_type != "LayerNormalization":
            continue
        rank = len(value.shape)
        if whole.attributes.get_int("axis", -1) % rank != rank - 1 or len(whole.outputs) > 1:
            continue
        gain, shift = constant(whole.inputs[1]), constant(whole.inputs[2]) if len(whole.inputs) > 2 else None
        axis = rank - 1 if order is None else list(order).index(rank - 1)
        vector = None if gain is None else _along(array, rank, axis, gain.size)
        if gain is None or vector is None or (len(whole.inputs) > 2 and shift is None):
            continue
        if node.op_type == "Mul":
            gain = gain * vector
            shift = None if shift is None else shift * vector
        else:
            shift = vector if shift is None else shift + vector
        weights = [weight(graph, node, "gain", gain)]
        if shift is not None:
            weights.append(weight(graph, node, "shift", shift))
        made = [onnx_ir.node("LayerNormalization", [whole.inputs[0], *weights], dict(whole.attributes))]
        if order is not None:
            made.append(onnx_ir.node("Transpose", [made[0].outputs[0]], {"perm": list(order)}))
        return made
    return None


def _normalized(node: onnx_ir.Node) -> _Normalized | None:
    first, second = node.inputs[0], node.inputs[1]
    pairs = [(first, second)] if node.op_type == "Div" else [(first, second), (second, first)]
    for centred, factor in pairs:
        found = _centred(centred)
        if found is None or centred is None or centred.shape is None or node.outputs[0].shape != centred.shape:
            continue
        scaling = _scaling(*found, factor, divides=node.op_type == "Div")
        if scaling is not None:
            return _Normalized(*found, *scaling)
    return None


def _scaling(x: onnx_ir.Value, axis: int, factor: onnx_ir.Value | None, *, divides: bool) -> tuple[float, NDArray[Any]] | None:
    """(epsilon, gain) where `factor` is gain / sqrt(variance of x + epsilon), or its inverse where it `divides`."""
    if x.shape is None or x.dtype != onnx_ir.DataType.FLOAT:
        return None
    size = x.shape[axis]
    deviation, gain = (factor, None) if divides else _divisor(factor)
    epsilon = _epsilon(deviation, x, axis)
    if epsilon is None or not isinstance(size, int) or not is_narrow(factor, gain, x, axis):
        return None
    vector = _along(np.ones((), np.float32) if gain is None else gain, len(x.shape), axis, size)
    return None if vector is None else (epsilon, vector)


def _centred(value: onnx_ir.Value | None) -> tuple[onnx_ir.Value, int] | None:
    """(x, axis) of `x - mean of x over axis`."""
    node = maker(value, "Sub")
    x = node.inputs[0] if node is not None else None
    found = _mean(node.inputs[1]) if node is not None else None
    if x is None or node is None or found is None or found[0] is not x or not is_narrow(node.inputs[1], None, x, found[1]):
        return None
    return found


def _divisor(factor: onnx_ir.Value | None) -> tuple[onnx_ir.Value | None, NDArray[Any] | None]:
    """(s, @g) of `Reciprocal(s)` or of `Mul(Reciprocal(s), @g)`."""
    node = maker(factor, "Mul")
    gain = None
    if node is not None:
        for inverse, other in ((node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])):
            if constant(other) is not None:
                factor, gain = inverse, constant(other)
    node = maker(flat(factor), "Reciprocal", "Div")
    if node is None:
        return None, None
    if node.op_type == "Reciprocal":
        return node.inputs[0], gain
    return (node.inputs[1], gain) if is_number(node.inputs[0], 1.0) else (None, None)


def _epsilon(deviation: onnx_ir.Value | None, x: onnx_ir.Value, axis: int) -> float | None:
    """Epsilon of `Sqrt(variance of x over axis + epsilon)`."""
    root = maker(flat(deviation), "Sqrt", "Pow")
    if root is None or (root.op_type == "Pow" and not is_number(root.inputs[1], 0.5)):
        return None
    adder = maker(flat(root.inputs[0]), "Add")
    if adder is None:
        return None
    for variance, other in ((adder.inputs[0], adder.inputs[1]), (adder.inputs[1], adder.inputs[0])):
        epsilon = constant(other)
        if epsilon is not None and epsilon.size == 1 and epsilon.item() > 0 and _is_variance(variance, x, axis):
            return float(epsilon.item())
    return None


def _is_variance(value: onnx_ir.Value | None, x: onnx_ir.Value, axis: int) -> bool:
    value = flat(value)
    guard = maker(value, "Max", "Relu", "Clip")
    if guard is not None:
        others = [other for other in guard.inputs if constant(other) is None and other is not None]
        bounds = guard.inputs[1:] if guard.op_type == "Clip" else [other for other in guard.inputs if other not in others]
        if len(others) != 1 or not all(is_number(bound, 0.0) for bound in bounds) or len(bounds) > 1:
            return False
        value = flat(others[0])
    difference = maker(value, "Sub")
    if difference is not None:
        squares, square = _mean(difference.inputs[0]), _square(difference.inputs[1])
        if squares is None or square is None or _mean(square) != (x, axis) or not _agree(*difference.inputs):
            return False
        return squares[1] == axis and _square(squares[0]) is x
    squares = _mean(value)
    if squares is None or squares[1] != axis:
        return False
    return _centred(_square(squares[0])) == (x, axis)


def _mean(value: onnx_ir.Value | None) -> tuple[onnx_ir.Value, int] | None:
    """(x, axis) of a mean of x over one axis, kept or dropped, also as a sum times 1 / size."""
    node = maker(flat(value), "ReduceMean", "Mul", "Div")
    factor = 1.0
    if node is not None and node.op_type != "ReduceMean":
        pairs = [(node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])][: 1 if node.op_type == "Div" else 2]
        for total, other in pairs:
            number = constant(other)
            node_of_sum = maker(flat(total), "ReduceSum")
            if node_of_sum is not None and number is not None and number.size == 1 and number.item():
                factor = 1 / number.item() if node.op_type == "Div" else number.item()
                node = node_of_sum
                break
    if node is None or node.op_type not in ("ReduceMean", "ReduceSum"):
        return None
    x, axes = node.inputs[0], constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if x is None or x.shape is None or axes is None or axes.size != 1:
        return None
    axis = int(axes.item()) % len(x.shape)
    size = x.shape[axis]
    wanted = 1.0 if node.op_type == "ReduceMean" else 1 / size if isinstance(size, int) else 0.0
    return (x, axis) if abs(factor - wanted) <= _ROUNDING * wanted else None


def _square(value: onnx_ir.Value | None) -> onnx_ir.Value | None:
    """x of `Mul(x, x)` or `Pow(x, 2)`."""
    node = maker(flat(value), "Mul", "Pow")
    if node is None:
        return None
    is_square = is_number(node.inputs[1], 2.0) if node.op_type == "Pow" else node.inputs[0] is node.inputs[1]
    return node.inputs[0] if is_square else None


def _agree(first: onnx_ir.Value | None, second: onnx_ir.Value | None) -> bool:
    """Whether two values have the same known sizes, so that neither is stretched."""
    return first is not None and second is not None and first.shape is not None and first.shape == second.shape


def _is_turned(value: onnx_ir.Value, axis: int) -> bool:
    """Whether what is made of `value` by sums, products and axes of size 1 meets a Transpose that brings `axis` to the end."""
    place: int | None = axis
    for _ in range(_MOST_STEPS):
        uses = tuple(value.uses())
        if len(uses) != 1 or value.is_graph_output() or place is None or value.shape is None:
            return False
        node = uses[0].node
        made = node.outputs[0]
        if node.op_type == "Transpose":
            order = node.attributes.get_ints("perm", None) or ()
            real = [old for old in order if value.shape[old] != 1]
            others = [old for old in real if old != place]
            return bool(real) and real[-1] == place and others == sorted(others)
        if node.op_type == "Reshape":
            found = partners(value, made)
            place = None if found is None else found[place]
        elif node.op_type not in ("Add", "Mul") or made.shape != value.shape:
            return False
        value = made
    return False


def _along(array: NDArray[Any], rank: int, axis: int, size: int) -> NDArray[Any] | None:
    """A constant that differs along one axis only, as a vector [size], or None."""
    if array.ndim > rank:
        return None
    full = array.reshape((1,) * (rank - array.ndim) + array.shape)
    if any(have != 1 for place, have in enumerate(full.shape) if place != axis) or full.shape[axis] not in (1, size):
        return None
    return np.broadcast_to(full.reshape(-1), (size,)).astype(array.dtype)
