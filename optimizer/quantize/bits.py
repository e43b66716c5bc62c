"""How many bits the weights of each layer get, and the integers that go with them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

import ml_dtypes
import numpy as np
import onnx_ir

from ...core.errors import PassError
from ...ir.model import Model, constant
from ...runtimes.contract import Scheme
from .plan import layer, weight_of

WeightBits = Literal[8, 4]
_Ends = Callable[[onnx_ir.Node], list[onnx_ir.Value]]
_LEAST_SIZE = 64  # elements; below it the scales outweigh what narrower integers save


def largest_integer(bits: WeightBits) -> int:
    """Magnitude of the largest weight: symmetric integers lie in [-127, 127] and [-7, 7].

    The lowest of two's complement is left out, because kernels rely on a product with it not occurring (TFLite's 8-bit
    quantization specification, which says the same of int4).
    """
    return (1 << (bits - 1)) - 1


def stored_type(weight: Literal["int8", "uint8"], bits: WeightBits) -> np.dtype[Any]:
    """Type of the integers in the IR; raises PassError for 4 bits in a scheme whose weights are unsigned."""
    if bits == 8:
        return np.dtype(weight)
    if weight != "int8":
        raise PassError("quantize: bits=4 needs a target whose weights are signed; use bits=8.")
    packed: np.dtype[Any] = np.dtype(ml_dtypes.int4)
    return packed


def weights_by_layer(model: Model, scheme: Scheme) -> dict[str, onnx_ir.Value]:
    """The constant weights that `scheme` has integers for, by layer (its first output's name), in graph order."""
    found = {}
    for node in model.graph:
        rule = scheme.operators.get(node.op_type) if node.domain == "" and node.outputs else None
        weights = weight_of(node, rule) if rule is not None else None
        if weights is not None:
            found[layer(node)] = weights
    return found


def bits_by_layer(
    model: Model, weights: Mapping[str, onnx_ir.Value], bits: WeightBits, ends: WeightBits
) -> dict[str, WeightBits]:
    """Bits of each of `weights` (by layer).

    Layers that no other such layer comes before, or none after, get `ends` if that is more (LSQ, arXiv 1902.08153, section 3,
    keeps the first and the last layer in 8 bits); weights of fewer than 64 elements stay in 8 bits.
    """
    outer = _outer(model.graph, weights)
    found: dict[str, WeightBits] = {}
    for name, value in weights.items():
        array = constant(value)
        is_tiny = array is None or array.size < _LEAST_SIZE
        found[name] = 8 if is_tiny or (name in outer and ends == 8) else bits
    return found


def _outer(graph: onnx_ir.Graph, weighted: Collection[str]) -> set[str]:
    """Those of `weighted` with none of them on any path before, or none on any path after."""
    nodes = [node for node in graph if node.outputs]
    later = _beyond(nodes, weighted, _inputs, _outputs)
    earlier = _beyond(nodes[::-1], weighted, _outputs, _inputs)
    return {name for name in weighted if name not in later or name not in earlier}


def _beyond(nodes: Sequence[onnx_ir.Node], weighted: Collection[str], arrive: _Ends, leave: _Ends) -> set[str]:
    """Nodes that lie beyond one of `weighted`, walking from the values `arrive` to the values `leave`."""
    marked: set[int] = set()
    found = set()
    for node in nodes:
        is_beyond = any(id(value) in marked for value in arrive(node))
        if is_beyond:
            found.add(layer(node))
        if is_beyond or layer(node) in weighted:
            marked.update(id(value) for value in leave(node))
    return found


def _inputs(node: onnx_ir.Node) -> list[onnx_ir.Value]:
    return [value for value in node.inputs if value is not None]


def _outputs(node: onnx_ir.Node) -> list[onnx_ir.Value]:
    return list(node.outputs)
