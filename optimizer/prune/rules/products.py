"""Matrix products, with weights or between activations."""

from __future__ import annotations

import onnx_ir

from ..layout import renumbered
from ..meeting import Operand, contract, labelled, meet
from ..trace import Mixer, Rule, Trace, Unknown, is_weight


def matmul(node: onnx_ir.Node, trace: Trace) -> None:
    """`y[..., m, n] = sum over k of a[..., m, k] * b[..., k, n]`; a vector has no m or no n."""
    a, b = (len(trace.shape(value)) for value in node.inputs)
    rank = max(a, b, 2)
    # Numbers of axes: those of the result where a and b are matrices, and `rank` for the one that is summed over.
    left = (rank,) if a == 1 else (*range(rank - a, rank - 1), rank)
    right = (rank,) if b == 1 else (*range(rank - b, rank - 2), rank, rank - 1)
    made = [axis for axis in range(rank) if not (axis == rank - 2 and a == 1) and not (axis == rank - 1 and b == 1)]
    product(node, trace, [left, right], made)


def gemm(node: onnx_ir.Node, trace: Trace) -> None:
    """`y[m, n] = alpha * sum over k of a[m, k] * b[k, n] + beta * c[m, n]`."""
    left = (2, 0) if node.attributes.get_int("transA", 0) else (0, 2)
    right = (1, 2) if node.attributes.get_int("transB", 0) else (2, 1)
    product(node, trace, [left, right], (0, 1))
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is None:
        return
    made = node.outputs[0]
    sizes = trace.shape(bias)
    for axis, size in enumerate(sizes):
        if is_weight(bias) and size > 1 and axis == len(sizes) - 1:
            trace.roles.setdefault((str(bias.name), axis), "makes")
    addend = Operand(trace.settled(bias), tuple(range(2 - len(sizes), 2)), sizes, bias.is_initializer())
    whole = Operand(trace.layout(made), (0, 1), trace.shape(made))
    trace.put(made, meet(trace, [whole, addend]))


def einsum(node: onnx_ir.Node, trace: Trace) -> None:
    """Products by letters, without an ellipsis or a repeated letter in one term."""
    terms, arrow, made = str(node.attributes["equation"].value).replace(" ", "").partition("->")
    letters = terms.split(",")
    if not arrow or "." in terms or any(len(set(term)) < len(term) for term in letters):
        raise Unknown("with such an equation")
    numbers = {letter: place for place, letter in enumerate(dict.fromkeys([*made, *terms.replace(",", "")]))}
    product(node, trace, [tuple(numbers[letter] for letter in term) for term in letters], [numbers[letter] for letter in made])


def product(node: onnx_ir.Node, trace: Trace, axes: list[tuple[int, ...]], made: list[int] | tuple[int, ...]) -> None:
    """A product of the first inputs, whose axes have these numbers, into a result whose axes are numbered `made`."""
    values = [value for value in node.inputs[: len(axes)] if value is not None]
    operands = [
        Operand(trace.settled(value), own, trace.shape(value), value.is_initializer())
        for value, own in zip(values, axes, strict=True)
    ]
    summed = {axis for own in axes for axis in own} - set(made)
    _tell_roles(node, trace, values, operands, summed, set(made))
    for place, (value, operand) in enumerate(zip(values, operands, strict=True)):
        if not is_weight(value) and labelled(tuple(operand.spans()), sorted(summed)):
            trace.mixers.append(Mixer(node, place))
    left = contract(trace, operands, sorted(summed))
    if not any(is_weight(value) for value in values):
        _note_heads(trace, operands, summed)
    places = {number: axis for axis, number in enumerate(made)}
    trace.put(node.outputs[0], tuple(renumbered(span, places) for span in left))


def _tell_roles(
    node: onnx_ir.Node,
    trace: Trace,
    values: list[onnx_ir.Value],
    operands: list[Operand],
    summed: set[int],
    made: set[int],
) -> None:
    for value, operand in zip(values, operands, strict=True):
        if not is_weight(value):
            continue
        others = {axis for other in operands if other is not operand for axis in other.axes}
        for place, axis in enumerate(operand.axes):
            if axis in summed:
                trace.read(value, place)
            elif axis in made and axis not in others:
                trace.make(node, value, place, "features")


def _note_heads(trace: Trace, operands: list[Operand], summed: set[int]) -> None:
    """What several activations have beside each other in a product are heads."""
    for operand in operands:
        for span in operand.spans():
            if not set(span.axes) <= summed and all(set(span.axes) & set(other.axes) for other in operands):
                trace.heads.append(span.ids)


RULES: dict[str, Rule] = {"MatMul": matmul, "Gemm": gemm, "Einsum": einsum}
