"""FULLY_CONNECTED: the one kernel of XNNPACK that multiplies by int4, so that pointwise convolutions in int4 take it too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .constants import Constant
from .flatbuffer import Tensor
from .graph import Lowering
from .kernel import Kernel, put_bias, put_weights
from .window import pad


def connect(
    low: Lowering, kernel: Kernel, source: Tensor, shape: Sequence[int], activation: int, *, keeps_axes: bool
) -> Tensor:
    """The product of `source` with `kernel.weights` [outputs, inputs]; `keeps_axes` where `shape` has more than two."""
    outputs, inputs = kernel.weights.array.shape
    if kernel.is_int4 and inputs % 2:
        # XNNPACK takes rows of whole bytes only: one more input, which is zero.
        flat = source if keeps_axes else low.reshaped(source, (int(np.prod(source.shape)) // inputs, inputs))
        source = pad(low, flat, [(0, 0)] * (len(flat.shape) - 1) + [(0, 1)])
        kernel = replace(kernel, weights=_with_zero_column(kernel.weights))
    filters = put_weights(low, kernel, np.asarray, 0, takes_int4=True)
    fields = {"fusedActivationFunction": activation, "keepNumDims": keeps_axes}
    given = [source, filters, put_bias(low, kernel, outputs)]
    return low.emit(
        "FULLY_CONNECTED", given, shape, kernel.dtype, quant=kernel.quant, options=("FullyConnectedOptions", fields)
    )


def _with_zero_column(weights: Constant) -> Constant:
    axis = weights.quant.axis if weights.quant else 0
    return weights.mapped(lambda array: np.pad(array, ((0, 0), (0, 1))), axis)
