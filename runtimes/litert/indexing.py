"""Looking up by index: gathers, one-hot codes, the largest elements."""

from __future__ import annotations

import numpy as np
import onnx_ir

from . import layout
from .elementwise import meet
from .flatbuffer import Tensor
from .graph import Lowering


def _pair(low: Lowering, node: onnx_ir.Node) -> tuple[onnx_ir.Value, onnx_ir.Value]:
    first, second = (*node.inputs, None, None)[:2]
    if first is None or second is None:
        raise low.fail(node, "it lacks an input")
    return first, second


def _indices(low: Lowering, value: onnx_ir.Value, size: int) -> Tensor:
    """Indices as they come; constant ones counted from the start and in int32."""
    array = low.array(value)
    if array is None:
        return low.raw(value)
    return low.numbers(str(value.name), np.where(array < 0, array + size, array))


def gather(low: Lowering, node: onnx_ir.Node) -> None:
    """Gather along one axis; indices that are not constant must count from the start."""
    data, indices = _pair(low, node)
    shape = low.shape(data)
    axis = node.attributes.get_int("axis", 0) % len(shape)
    rank = len(low.shape(indices))
    perm = layout.identity(len(shape)) if rank > 1 or low.constant(data) is not None else low.perm(data)
    source = low.raw(data, perm)
    place = perm.index(axis)
    chosen = _indices(low, indices, shape[axis])
    sizes = (*source.shape[:place], *chosen.shape, *source.shape[place + 1 :])
    options = ("GatherOptions", {"axis": place})
    made = low.emit("GATHER", [source, chosen], sizes, source.dtype, quant=source.quant, options=options)
    if rank == 0:
        perm = tuple(other - (other > axis) for other in perm if other != axis)
    elif rank > 1:
        perm = layout.identity(len(sizes))
    low.bind(node.outputs[0], made, perm)
    low.record(node, "int8" if source.dtype == "int8" else "float32")


def gather_nd(low: Lowering, node: onnx_ir.Node) -> None:
    """GatherND without batch axes."""
    data, indices = _pair(low, node)
    if node.attributes.get_int("batch_dims", 0):
        raise low.fail(node, "it has batch axes")
    source, chosen = low.raw(data), low.raw(indices)
    shape = low.shape(node.outputs[0])
    made = low.emit("GATHER_ND", [source, chosen], shape, source.dtype, quant=source.quant, options=("GatherNdOptions", {}))
    low.bind(node.outputs[0], made, layout.identity(len(shape)))
    low.record(node, "int8" if source.dtype == "int8" else "float32")


def one_hot(low: Lowering, node: onnx_ir.Node) -> None:
    """OneHot with constant depth and values."""
    indices = node.inputs[0]
    depth, values = low.array(node.inputs[1]), low.array(node.inputs[2])
    if indices is None or depth is None or values is None:
        raise low.fail(node, "its depth or its values are not constant")
    source = low.raw(indices)
    if source.dtype not in ("int32", "int64"):
        source = low.emit("CAST", [source], source.shape, "int32", options=("CastOptions", {}))
    shape = low.shape(node.outputs[0])
    dtype = low.dtype(node.outputs[0])
    off, on = (low.numbers("value", values.reshape(-1)[index], dtype) for index in (0, 1))
    axis = node.attributes.get_int("axis", -1)
    given = [source, low.numbers("depth", int(depth.reshape(-1)[0])), on, off]
    made = low.emit(
        "ONE_HOT", given, shape, dtype, options=("OneHotOptions", {"axis": axis if axis < 0 else axis % len(shape)})
    )
    low.bind(node.outputs[0], made, layout.identity(len(shape)))
    low.record(node, "float32")


def top_k(low: Lowering, node: onnx_ir.Node) -> None:
    """TopK of the largest elements along the last axis."""
    value, count = node.inputs[0], low.array(node.inputs[1])
    if value is None or count is None:
        raise low.fail(node, "its k is not constant")
    source = low.real(value)
    axis = node.attributes.get_int("axis", -1) % len(source.shape)
    if axis != len(source.shape) - 1 or not node.attributes.get_int("largest", 1):
        raise low.fail(node, "it does not take the largest along the last axis")
    k = int(count.reshape(-1)[0])
    shape = (*source.shape[:-1], k)
    best = low.writer.tensor(str(node.outputs[0].name), shape, source.dtype)
    places = low.writer.tensor(str(node.outputs[1].name), shape, "int32")
    low.emit_into("TOPK_V2", [source, low.numbers("k", k)], [best, places], ("TopKV2Options", {}))
    low.bind(node.outputs[0], best, layout.identity(len(shape)))
    if any(True for _ in node.outputs[1].uses()) or node.outputs[1].is_graph_output():
        places = low.emit("CAST", [places], shape, "int64", options=("CastOptions", {}))
    low.bind(node.outputs[1], places, layout.identity(len(shape)))
    low.record(node, "float32")


def einsum(low: Lowering, node: onnx_ir.Node) -> None:
    """Einsum of two operands that share batch axes and sum over one, as BATCH_MATMUL."""
    left, right, out = _letters(low, node)
    first, second = _pair(low, node)
    summed = [letter for letter in left if letter in right and letter not in out]
    batch = [letter for letter in left if letter in right and letter in out]
    rows = [letter for letter in left if letter not in right]
    columns = [letter for letter in right if letter not in left]
    if len(summed) != 1 or set(out) != {*batch, *rows, *columns} or max(map(len, (left, right, out))) > 5:
        raise low.fail(node, "its equation is not a product of matrices")
    sizes = dict(zip(left, low.shape(first), strict=True)) | dict(zip(right, low.shape(second), strict=True))
    a = _matrix(low, first, left, [*batch, *rows, *summed], len(rows), 1, sizes)
    b = _matrix(low, second, right, [*batch, *summed, *columns], 1, len(columns), sizes)
    lead = [sizes[letter] for letter in batch]
    flat = (*lead, a.shape[-2], b.shape[-1])
    made = low.emit("BATCH_MATMUL", [a, b], flat, options=("BatchMatMulOptions", {}))
    order = [*batch, *rows, *columns]
    made = low.reshaped(made, [sizes[letter] for letter in order])
    made = low.transposed(made, tuple(order.index(letter) for letter in out))
    low.bind(node.outputs[0], made, layout.identity(len(out)))
    low.record(node, "float32")


def _letters(low: Lowering, node: onnx_ir.Node) -> tuple[list[str], list[str], list[str]]:
    equation = node.attributes.get_string("equation", "").replace(" ", "")
    sides = equation.split("->")
    terms = sides[0].split(",")
    if len(sides) != 2 or len(terms) != 2 or "." in equation or any(len(set(term)) != len(term) for term in (*terms, sides[1])):
        raise low.fail(node, f"the equation {equation!r} is not a plain product of two operands")
    return list(terms[0]), list(terms[1]), list(sides[1])


def _matrix(
    low: Lowering, value: onnx_ir.Value, have: list[str], want: list[str], rows: int, columns: int, sizes: dict[str, int]
) -> Tensor:
    perm = tuple(have.index(letter) for letter in want)
    tensor = meet(low, value, perm) if low.constant(value) is None else low.real(value, perm)
    lead = len(want) - rows - columns
    height = int(np.prod([sizes[letter] for letter in want[lead : lead + rows]], dtype=np.int64))
    width = int(np.prod([sizes[letter] for letter in want[lead + rows :]], dtype=np.int64))
    return low.reshaped(tensor, (*(sizes[letter] for letter in want[:lead]), height, width))


EMITTERS = {"Gather": gather, "GatherND": gather_nd, "OneHot": one_hot, "TopK": top_k, "Einsum": einsum}
