"""The mean error that rounded weights make in a layer's output: what its bias can take out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from .plan import layer
from .rounding import Rounder, mean_error


def mean_output_error(
    node: onnx_ir.Node,
    error: NDArray[Any],
    axis: int,
    rounder: Rounder | None,
    means: Mapping[str, NDArray[Any]],
) -> NDArray[np.floating[Any]] | None:
    """Mean output error [channels] of `node`, whose weights are off by `error` (of their shape, output channels along `axis`).

    It follows from the mean of what they are multiplied with: by the moments of `rounder`, else by `means` (per channel, by
    tensor); None where neither is known (Nagel et al., arXiv 1906.04721, section 4.2).
    """
    moments = rounder.moments(layer(node)) if rounder is not None else None
    if moments is not None:
        return mean_error(np.moveaxis(error, axis, 0).reshape(error.shape[axis], -1), moments)
    mean = means.get(str(node.inputs[0].name)) if node.inputs[0] is not None else None
    if mean is None:
        return None
    if node.op_type == "Conv":
        groups = node.attributes.get_int("group", 1) or 1
        inputs = mean.reshape(groups, 1, -1)
        summed = error.reshape(groups, error.shape[0] // groups, error.shape[1], -1).sum(axis=3)
        return np.asarray((summed * inputs).sum(axis=2).reshape(-1)) if inputs.shape[2] == error.shape[1] else None
    if node.op_type == "Gemm":
        by_output = error if node.attributes.get_int("transB", 0) else error.T
        return np.asarray(by_output @ mean) if mean.shape == (by_output.shape[1],) else None
    return None
