"""`fold-bn`: batch norm and other per-channel affine steps go into the weights before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx_ir
from numpy.typing import NDArray
from onnx_ir.passes import common

from ..model import Model, constant, initializer
from ..passes import PassResult, stamp
from .canonicalize import check_inference
from .forms import fresh

_LINEAR = ("Conv", "ConvTranspose", "Gemm")
_DEFAULT_EPSILON = 1e-5


@dataclass(frozen=True)
class _Affine:
    """`y = scale * x + shift` on axis 1, both [channels] in float64; `data` is x."""

    data: onnx_ir.Value
    scale: NDArray[np.float64]
    shift: NDArray[np.float64]


@dataclass(frozen=True)
class FoldBatchNorm:
    """Fold BatchNormalization, and Mul and Add of a constant per channel, into the weights before.

    Before::

        c = Conv(x, @w, @b); n = BatchNormalization(c, @gamma, @beta, @mean, @var); y = Relu(n)

    After, with s = gamma / sqrt(var + epsilon)::

        c = Conv(x, @w * s, @(b - mean) * s + beta); y = Relu(c)

    A batch norm with nothing to go into becomes `Add(Mul(x, @s), @(beta - mean * s))`. The arithmetic is done in float64.
    Results that anything else reads are left alone. Source: Jacob et al., Quantization and Training of Neural Networks for
    Efficient Integer-Arithmetic-Only Inference (arXiv 1712.05877), section 3.2.
    """

    name: ClassVar[str] = "fold-bn"
    needs: ClassVar[None] = None

    def run(self, model: Model, given: None = None) -> PassResult:
        """Fold in a copy of `model`; raises ModelError when a batch norm is in training mode."""
        check_inference(model)
        result = model.clone()
        folded = 0
        for node in list(result.graph):
            affine = _affine(node)
            if affine is not None and _fold(result.graph, node, affine):
                folded += 1
        split = _split(result.graph)
        if folded or split:
            common.RemoveUnusedNodesPass()(result.ir)
            common.NameFixPass()(result.ir)
        notes = []
        if folded:
            notes.append(f"{folded} per-channel steps folded into the weights before them")
        if split:
            notes.append(f"{split} batch norms without weights before them became Mul and Add")
        return PassResult(result, bool(folded or split), tuple(notes))


def _affine(node: onnx_ir.Node) -> _Affine | None:
    """What `node` does per channel, or None when it is no such step."""
    if node.op_type == "BatchNormalization":
        return _of_batch_norm(node)
    if node.op_type not in ("Mul", "Add") or len(node.inputs) != 2:
        return None
    for data, other in ((node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])):
        factor = constant(other)
        producer = data.producer() if data is not None else None
        if data is None or factor is None or producer is None or producer.op_type not in _LINEAR:
            continue
        channels = _channels(producer)
        row = _per_channel(factor, channels, _rank(data)) if channels else None
        if row is None:
            continue
        neutral = np.zeros_like(row)
        return _Affine(data, row, neutral) if node.op_type == "Mul" else _Affine(data, neutral + 1, row)
    return None


def _of_batch_norm(node: onnx_ir.Node) -> _Affine | None:
    arrays = [constant(value) for value in node.inputs[1:5]]
    data = node.inputs[0]
    if data is None or len(arrays) != 4 or any(array is None for array in arrays):
        return None
    gamma, beta, mean, variance = (np.asarray(array, np.float64) for array in arrays)
    epsilon = node.attributes.get_float("epsilon", _DEFAULT_EPSILON)
    scale = gamma / np.sqrt(variance + float(epsilon or 0.0))
    return _Affine(data, scale, beta - mean * scale)


def _rank(value: onnx_ir.Value) -> int | None:
    return None if value.shape is None else len(value.shape)


def _channels(node: onnx_ir.Node) -> int | None:
    """Output channels of a linear node with constant weights."""
    weights = constant(node.inputs[1])
    if weights is None:
        return None
    if node.op_type == "Conv":
        return int(weights.shape[0])
    if node.op_type == "ConvTranspose":
        return int(weights.shape[1]) * int(node.attributes.get_int("group", 1) or 1)
    return int(weights.shape[0 if node.attributes.get_int("transB", 0) else 1])


def _per_channel(array: NDArray[Any], channels: int, rank: int | None) -> NDArray[np.float64] | None:
    """`array` as [channels] when broadcasting it to rank `rank` varies along axis 1 alone, without growing the result."""
    if rank is None or array.ndim > rank:
        return None
    shape = (1,) * (rank - array.ndim) + array.shape
    if any(size != 1 for axis, size in enumerate(shape) if axis != 1) or shape[1] not in (1, channels):
        return None
    return np.broadcast_to(array.astype(np.float64).ravel(), (channels,)).copy()


def _fold(graph: onnx_ir.Graph, node: onnx_ir.Node, affine: _Affine) -> bool:
    """Fold `affine`, the work of `node`, into the linear node before it; False when that would change anything else."""
    linear = affine.data.producer()
    if linear is None or linear.op_type not in _LINEAR or linear.domain not in ("", "ai.onnx"):
        return False
    if affine.data.is_graph_output() or len(affine.data.uses()) != 1 or len(node.outputs) != 1:
        return False
    given = linear.inputs[1]
    bias_value = linear.inputs[2] if len(linear.inputs) > 2 else None
    weights, bias = constant(given), constant(bias_value)
    if given is None or weights is None or (bias_value is not None and bias is None):
        return False
    channels = _channels(linear)
    if channels != affine.scale.size or weights.dtype.kind != "f":
        return False
    # Gemm scales its bias; the scale goes into the new one.
    beta = float(linear.attributes.get_float("beta", 1.0) or 0.0) if linear.op_type == "Gemm" else 1.0
    old_bias = np.zeros(1) if bias is None else bias.astype(np.float64) * beta
    if bias is not None and bias.ndim == 2 and bias.shape[0] != 1:
        return False
    new_bias = np.broadcast_to(old_bias.ravel(), (channels,)) * affine.scale + affine.shift
    new_weights = weights.astype(np.float64) * _along_channels(linear, weights, affine.scale)
    stem = str(given.name)
    bias_name = str(bias_value.name) if bias_value is not None else f"{stem}_bias"
    linear.replace_input_with(1, _store(graph, given, new_weights.astype(weights.dtype), stem))
    stored = _store(graph, bias_value, new_bias.astype(weights.dtype), bias_name)
    if len(linear.inputs) > 2:
        linear.replace_input_with(2, stored)
    else:
        linear.resize_inputs(3)
        linear.replace_input_with(2, stored)
    linear.attributes.pop("beta", None)
    _take_over(graph, node, linear)
    stamp([linear], FoldBatchNorm.name)
    return True


def _along_channels(linear: onnx_ir.Node, weights: NDArray[Any], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """`scale` in a shape that multiplies the weights of each output channel."""
    if linear.op_type == "Conv":
        return scale.reshape(-1, *(1,) * (weights.ndim - 1))
    if linear.op_type == "Gemm":
        return scale[:, None] if linear.attributes.get_int("transB", 0) else scale[None, :]
    # ConvTranspose keeps [in, out / groups, ...]: the inputs of group g make the outputs of group g.
    groups = int(linear.attributes.get_int("group", 1) or 1)
    by_group = np.repeat(scale.reshape(groups, 1, -1), weights.shape[0] // groups, axis=1)
    return by_group.reshape(weights.shape[:2] + (1,) * (weights.ndim - 2))


def _store(graph: onnx_ir.Graph, old: onnx_ir.Value | None, array: NDArray[Any], name: str) -> onnx_ir.Value:
    """An initializer of `array`: under the old name where nobody else reads the old value, else under a fresh one."""
    if old is not None and old.name in graph.initializers and len(old.uses()) == 1 and not old.is_graph_output():
        del graph.initializers[str(old.name)]
        name = str(old.name)
    stored = initializer(fresh(graph, name), array)
    graph.register_initializer(stored)
    return stored


def _take_over(graph: onnx_ir.Graph, node: onnx_ir.Node, linear: onnx_ir.Node) -> None:
    """The output of `node` is made by `linear` now; a graph output keeps its name."""
    old, new = node.outputs[0], linear.outputs[0]
    if old.is_graph_output():
        new.name, old.name = old.name, f"{old.name}_folded"
    onnx_ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _split(graph: onnx_ir.Graph) -> int:
    """Make Mul and Add of every batch norm that is left; returns how many."""
    count = 0
    for node in list(graph):
        affine = _affine(node) if node.op_type == "BatchNormalization" else None
        rank = _rank(node.inputs[0]) if affine is not None and node.inputs[0] is not None else None
        if affine is None or rank is None or len(node.outputs) != 1:
            continue
        dtype = affine.data.dtype.numpy() if affine.data.dtype is not None else np.dtype(np.float32)
        shape = (1, -1) + (1,) * (rank - 2)
        stem = node.name or str(node.outputs[0].name)
        made = []
        value = affine.data
        for op_type, row in (("Mul", affine.scale), ("Add", affine.shift)):
            weights = initializer(fresh(graph, f"{stem}_{op_type.lower()}"), row.reshape(shape).astype(dtype))
            graph.register_initializer(weights)
            made.append(onnx_ir.node(op_type, [value, weights], name=f"{stem}_{op_type.lower()}"))
            value = made[-1].outputs[0]
            value.type, value.shape = node.outputs[0].type, node.outputs[0].shape
        stamp(made, FoldBatchNorm.name)
        onnx_ir.convenience.replace_nodes_and_values(graph, node, [node], made, [node.outputs[0]], [value])
        count += 1
    return count
