"""After a removal: the layers that read what is left are fitted to what they made before, by least squares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import onnx_ir
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ...ir.model import Model, constant, initializer
from ..train.batches import opened
from ..train.device import best_device, settled
from ..train.module import GraphModule
from ..train.needs import TrainingNeeds
from .places import Group

_SAMPLES, _BATCH, _POSITIONS = 256, 32, 16
_RIDGE = 1e-2


def reconstruct(
    pruned: Model, before: Model, groups: Sequence[Group], keep: Mapping[str, Sequence[int]], needs: TrainingNeeds
) -> Model:
    """`pruned` with the weights of each layer that reads pruned channels fitted anew, in order (He et al., 1707.06168, 3.1).

    A layer's weights W become W + D with the D that brings D @ inputs closest to what is missing of the layer's output in
    `before`, over at most 256 samples and 16 positions of each, with a ridge on D for what the samples do not decide. Inputs
    are the pruned model's own, so that errors of the layers before are made good too. Grouped convolutions stay as they are.
    """
    readers = _readers(pruned, groups, keep)
    device = best_device()
    with settled(device, needs.threads), torch.no_grad(), needs.progress.task("least squares", len(readers)) as advance:
        batches = [
            batch.inputs for batch in islice(opened(needs.train, needs.progress).in_order(_BATCH, device), _SAMPLES // _BATCH)
        ]
        wanted = _outputs(GraphModule(before).eval().to(device), readers, batches)
        model = pruned
        for node in readers:
            model = _fitted(model, node, wanted[str(node.outputs[0].name)], groups, keep, batches, device)
            advance(1)
    return model


def kept_positions(
    groups: Sequence[Group], keep: Mapping[str, Sequence[int]], tensor: str, axis: int, size: int
) -> NDArray[np.int64]:
    """Positions on an axis of `size` of the activation `tensor` that are left after the removal."""
    is_kept = np.ones(size, np.bool_)
    for group in groups:
        if group.name in keep:
            gone = np.setdiff1d(np.arange(group.units), np.asarray(keep[group.name], np.int64))
            for place in group.values:
                if place.tensor == tensor and place.axis == axis:
                    is_kept[place.index[gone].ravel()] = False
    return np.flatnonzero(is_kept)


def _readers(model: Model, groups: Sequence[Group], keep: Mapping[str, Sequence[int]]) -> list[onnx_ir.Node]:
    """Layers whose weights read a group that lost units, in order; grouped convolutions and odd paddings left out."""
    read = {
        place.tensor
        for group in groups
        if len(keep.get(group.name, range(group.units))) < group.units
        for place in group.weights
        if place.role == "reads"
    }
    return [node for node in model.graph if _is_plain(node) and str(node.inputs[1].name if node.inputs[1] else "") in read]


def _is_plain(node: onnx_ir.Node) -> bool:
    if node.op_type not in ("Conv", "Gemm", "MatMul") or node.inputs[0] is None:
        return False
    weights = constant(node.inputs[1])
    if weights is None or len(node.inputs[1].uses() if node.inputs[1] is not None else ()) != 1:
        return False
    if node.op_type == "Conv":
        is_explicit = node.attributes.get_string("auto_pad", "NOTSET") in ("NOTSET", "VALID")
        return weights.ndim == 4 and node.attributes.get_int("group", 1) == 1 and is_explicit
    return weights.ndim == 2 and not node.attributes.get_int("transA", 0)


def _outputs(
    module: GraphModule, nodes: Sequence[onnx_ir.Node], batches: Sequence[Mapping[str, Any]]
) -> dict[str, torch.Tensor]:
    """Rows [n, channels] of what each layer makes, by its name, at the positions that `_sampled` takes."""
    by_name = {str(node.outputs[0].name): node for node in nodes}
    found: dict[str, list[torch.Tensor]] = {name: [] for name in by_name}
    for inputs in batches:
        values = module(inputs, keep=by_name)
        for name, node in by_name.items():
            found[name].append(_sampled(_as_columns(values[name], node)).cpu())
    return {name: torch.cat(parts) for name, parts in found.items()}


def _sampled(columns: torch.Tensor) -> torch.Tensor:
    """Rows [n * positions, channels] of [n, channels, all positions]: evenly spread ones, the same for tensors of a size."""
    count = columns.shape[2]
    chosen = torch.linspace(0, count - 1, min(count, _POSITIONS)).round().long().unique()
    return columns[:, :, chosen.to(columns.device)].transpose(1, 2).flatten(0, 1).double()


def _fitted(
    model: Model,
    node: onnx_ir.Node,
    wanted: torch.Tensor,
    groups: Sequence[Group],
    keep: Mapping[str, Sequence[int]],
    batches: Sequence[Mapping[str, Any]],
    device: torch.device,
) -> Model:
    """The model with one layer's weights fitted to the rows `wanted` [n, channels of the layer before the removal]."""
    made, read = str(node.outputs[0].name), str(node.inputs[0].name if node.inputs[0] else "")
    weight = str(node.inputs[1].name if node.inputs[1] else "")
    module = GraphModule(model).eval().to(device)
    inputs, outputs = [], []
    for batch in batches:
        values = module(batch, keep=(read, made))
        inputs.append(_patches(values[read], node).cpu())
        outputs.append(_sampled(_as_columns(values[made], node)).cpu())
    X = torch.cat(inputs)
    axis = 1 if node.op_type == "Conv" else len(node.outputs[0].shape or ()) - 1
    channels = kept_positions(groups, keep, made, axis, wanted.shape[1])
    missing = wanted[:, torch.from_numpy(channels)] - torch.cat(outputs)
    gram = X.T @ X
    gram += _RIDGE * gram.diagonal().mean().clamp_min(1e-12) * torch.eye(len(gram), dtype=gram.dtype)
    change = torch.linalg.solve(gram, X.T @ missing).numpy()  # [inputs, outputs]
    before = model.weights()[weight]
    is_by_output = node.op_type == "Conv" or (node.op_type == "Gemm" and bool(node.attributes.get_int("transB", 0)))
    fitted = before + (change.T if is_by_output else change).reshape(before.shape).astype(before.dtype)
    result = model.clone()
    result.graph.initializers[weight].const_value = initializer(weight, fitted).const_value
    return result


def _as_columns(value: torch.Tensor, node: onnx_ir.Node) -> torch.Tensor:
    """[n, channels, positions] of what a layer reads or makes: [n, channels, ...] of a convolution, else [n, ..., channels]."""
    if node.op_type == "Conv":
        return value.flatten(2)
    return value.flatten(1, -2).transpose(1, 2) if value.ndim > 2 else value[..., None]


def _patches(value: torch.Tensor, node: onnx_ir.Node) -> torch.Tensor:
    """What the layer multiplies with its weights: rows [n * positions, inputs], at the positions of its output's rows."""
    if node.op_type != "Conv":
        return _sampled(_as_columns(value, node))
    weights = constant(node.inputs[1])
    kernel = weights.shape[2:] if weights is not None else (1, 1)
    top, left, bottom, right = _numbers(node, "pads", (0, 0, 0, 0))
    padded = functional.pad(value, (left, right, top, bottom))
    return _sampled(
        functional.unfold(
            padded, kernel, dilation=_numbers(node, "dilations", (1, 1)), stride=_numbers(node, "strides", (1, 1))
        )
    )


def _numbers(node: onnx_ir.Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    found = node.attributes.get_ints(name, default)
    return tuple(default if found is None else found)
