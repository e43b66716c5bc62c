"""Where the samples of a batch go: the axis of each operator's outputs along which they lie, from those of its inputs.

Shapes are those of a graph with one sample. Along the axis that holds the batch a value of many samples is that many times as
long; how the samples lie along it is for `free_batch` to follow, since no operator here minds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir

from .operators.reading import integers

Axis = int | None


class Mixed(Exception):
    """The operator computes across samples, or with their places in a way that is not known."""


@dataclass(frozen=True)
class Given:
    """A node, the shapes of its inputs and of its first output at one sample, and the axes of its inputs' batch."""

    node: onnx_ir.Node
    shapes: Sequence[tuple[int, ...] | None]
    made: tuple[int, ...]
    axes: Sequence[Axis]

    @property
    def first(self) -> int:
        """The axis of the first input; raises Mixed where another input holds the batch instead."""
        axis = self.axes[0] if self.axes else None
        if axis is None:
            raise Mixed
        return axis

    @property
    def rank(self) -> int:
        """Number of axes of the first input."""
        return len(self.shapes[0] or ())

    def attribute(self, name: str, otherwise: int) -> int:
        """An attribute that counts axes of the first input, from the start."""
        axis = self.node.attributes.get_int(name, otherwise)
        return axis % self.rank if self.rank else 0

    def alone(self) -> int:
        """The axis of the first input, where no other input holds samples."""
        if any(axis is not None for axis in self.axes[1:]):
            raise Mixed
        return self.first


Rule = Callable[[Given], Axis]


def elementwise(given: Given) -> Axis:
    """All inputs meet from their last axes; what holds no batch must have one place, or none, where others have theirs."""
    total = len(given.made)
    found: Axis = None
    for shape, axis in zip(given.shapes, given.axes, strict=True):
        if axis is not None:
            aligned = axis + total - len(shape or ())
            if found not in (None, aligned):
                raise Mixed
            found = aligned
    if found is None:
        return None
    for shape, axis in zip(given.shapes, given.axes, strict=True):
        if shape is None:
            continue
        place = found - (total - len(shape))
        if axis is None and place >= 0 and shape[place] != 1:
            raise Mixed
        if axis is not None and shape[axis] != given.made[found]:
            raise Mixed
    return found


def _samples_first(given: Given) -> Axis:
    if given.alone() != 0:
        raise Mixed
    return 0


def _beside(given: Given) -> Axis:
    """Operators along one axis (`axis`), which is not that of the batch."""
    axis = given.alone()
    if given.attribute("axis", -1) == axis:
        raise Mixed
    return axis


def _before(given: Given) -> Axis:
    """Normalizations from one axis to the last."""
    axis = given.alone()
    if given.attribute("axis", -1) <= axis:
        raise Mixed
    return axis


def _transpose(given: Given) -> Axis:
    order = list(given.node.attributes.get_ints("perm", range(given.rank)[::-1]))
    return order.index(given.first)


def _matmul(given: Given) -> Axis:
    left, right = (shape or () for shape in given.shapes)
    a, b = given.axes
    total = len(given.made)
    if len(left) < 2 or len(right) < 2:
        raise Mixed
    if a is not None and b is not None:
        if a >= len(left) - 2 or b >= len(right) - 2:
            raise Mixed
        if a + total - len(left) != b + total - len(right) or left[a] != right[b]:
            raise Mixed
        return a + total - len(left)
    shape, axis, other, contracted = (left, a, right, len(left) - 1) if a is not None else (right, b, left, len(right) - 2)
    if axis is None or axis == contracted:
        raise Mixed
    aligned = axis + total - len(shape)
    place = aligned - (total - len(other))
    if aligned < total - 2 and place >= 0 and other[place] != 1:
        raise Mixed
    return aligned


def _gemm(given: Given) -> Axis:
    axis = given.first
    rows = 1 if given.node.attributes.get_int("transA", 0) else 0
    summand = given.shapes[2] if len(given.shapes) > 2 else None
    is_row = summand is None or len(summand) < 2 or summand[0] == 1
    if axis != rows or any(other is not None for other in given.axes[1:]) or not is_row:
        raise Mixed
    return 0


def _concat(given: Given) -> Axis:
    """Parts without samples must have one place where the others have theirs: they are copied for every sample."""
    rank = len(given.made)
    joined = given.node.attributes.get_int("axis", 0) % rank
    found = {axis for axis in given.axes if axis is not None}
    if len(found) != 1 or joined in found:
        raise Mixed
    (axis,) = found
    if any(shape is None or shape[axis] != given.made[axis] for shape in given.shapes):
        raise Mixed
    if any(own is None and given.made[axis] != 1 for own in given.axes):
        raise Mixed
    return axis


def _split(given: Given) -> Axis:
    axis = given.alone()
    if given.attribute("axis", 0) == axis:
        raise Mixed
    return axis


def _slice(given: Given) -> Axis:
    axis = given.alone()
    if given.made[axis] != (given.shapes[0] or ())[axis]:
        raise Mixed
    return axis


def _gather(given: Given) -> Axis:
    which = given.shapes[1] or ()
    axis = given.attribute("axis", 0)
    if given.axes[0] is None and given.axes[1] is not None:
        return axis + given.axes[1]
    own = given.alone()
    if own == axis:
        raise Mixed
    return own if own < axis else own - 1 + len(which)


def _gather_nd(given: Given) -> Axis:
    """Samples beyond the axes that are indexed stay together."""
    which = given.shapes[1] or ()
    own, depth = given.alone(), which[-1]
    if own < depth or given.node.attributes.get_int("batch_dims", 0) != 0:
        raise Mixed
    return len(which) - 1 + own - depth


def _gather_elements(given: Given) -> Axis:
    axis = elementwise(given)
    if axis is None or given.attribute("axis", 0) == axis:
        raise Mixed
    return axis


def _reduce(given: Given) -> Axis:
    axis = given.alone()
    told = given.node.attributes.get_ints("axes", None) if "axes" in given.node.attributes else integers(given.node, 1)
    if not told:
        raise Mixed
    reduced = {place % given.rank for place in told}
    if axis in reduced:
        raise Mixed
    keeps = given.node.attributes.get_int("keepdims", 1)
    return axis if keeps else axis - sum(place < axis for place in reduced)


def _argument(given: Given) -> Axis:
    axis = _split(given)
    keeps = given.node.attributes.get_int("keepdims", 1)
    return axis if keeps or axis is None else axis - (given.attribute("axis", 0) < axis)


def _expand(given: Given) -> Axis:
    axis = given.alone() + len(given.made) - given.rank
    if given.made[axis] != (given.shapes[0] or ())[given.first]:
        raise Mixed
    return axis


def _same_length(given: Given) -> Axis:
    """Pad, Tile and Resize may change every axis but that of the batch."""
    axis = given.alone()
    if given.made[axis] != (given.shapes[0] or ())[axis]:
        raise Mixed
    return axis


def _quantized(given: Given) -> Axis:
    axis = given.alone()
    scale = given.shapes[1] or ()
    if scale and scale[0] > 1 and given.attribute("axis", 1) == axis:
        raise Mixed
    return axis


def _recurrent(given: Given) -> Axis:
    """The axis of Y [time, directions, batch, hidden], or of Y [batch, time, directions, hidden]."""
    is_first = bool(given.node.attributes.get_int("layout", 0))
    if given.first != (0 if is_first else 1) or any(axis is not None for axis in given.axes[1:4]):
        raise Mixed
    return 0 if is_first else 2


def _einsum(given: Given) -> Axis:
    terms, _, made = str(given.node.attributes["equation"].value).replace(" ", "").partition("->")
    if not made or "." in terms:
        raise Mixed
    letters = {term[axis] for term, axis in zip(terms.split(","), given.axes, strict=True) if axis is not None}
    (letter, *more) = letters
    others = [term for term, axis in zip(terms.split(","), given.axes, strict=True) if axis is None]
    if more or letter not in made or any(letter in term for term in others):
        raise Mixed
    return made.index(letter)


def _along(kinds: str, rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(kinds.split(), rule)


RULES: Mapping[str, Rule] = {
    **_along("Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift Cast Ceil Celu Clip Cos Cosh Div Dropout Elu", elementwise),
    **_along("Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN", elementwise),
    **_along(
        "LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round", elementwise
    ),
    **_along("Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Tan Tanh ThresholdedRelu", elementwise),
    **_along("Where Xor", elementwise),
    **_along("AveragePool BatchNormalization Conv ConvTranspose DepthToSpace GlobalAveragePool", _samples_first),
    **_along("GlobalLpPool GlobalMaxPool GroupNormalization InstanceNormalization LRN LpPool MaxPool", _samples_first),
    **_along("SpaceToDepth", _samples_first),
    **_along("LogSoftmax LpNormalization Softmax", _beside),
    **_along("LayerNormalization", _before),
    **_along("ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd", _reduce),
    **_along("ReduceSum ReduceSumSquare", _reduce),
    **_along("ArgMax ArgMin", _argument),
    **_along("GRU LSTM RNN", _recurrent),
    **_along("Pad Resize Tile", _same_length),
    **_along("DequantizeLinear QuantizeLinear", _quantized),
    "Concat": _concat,
    "Einsum": _einsum,
    "Expand": _expand,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Slice": _slice,
    "Split": _split,
    "TopK": _beside,
    "Transpose": _transpose,
}
