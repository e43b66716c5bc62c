"""Convolutions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx_ir
import torch
from torch.nn import functional

from .reading import Operator, given, listed, same_pads, torch_pads, unsupported

_CONVOLUTIONS = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}
_TRANSPOSED = {1: torch.conv_transpose1d, 2: torch.conv_transpose2d, 3: torch.conv_transpose3d}


def _kernel(node: onnx_ir.Node) -> list[int]:
    kernel = node.attributes.get_ints("kernel_shape", None)
    weights = given(node, 1)
    if kernel is None and weights is not None and weights.shape is not None:
        kernel = [size for size in weights.shape[2:] if isinstance(size, int)]
    if not kernel or len(kernel) not in _CONVOLUTIONS:
        raise unsupported(node, "its kernel has not one, two or three axes of known size")
    return list(kernel)


def _conv(node: onnx_ir.Node) -> Callable[..., Any]:
    kernel = _kernel(node)
    count = len(kernel)
    convolve = _CONVOLUTIONS[count]
    strides = listed(node, "strides", [1] * count)
    dilations = listed(node, "dilations", [1] * count)
    groups = node.attributes.get_int("group", 1)
    mode = node.attributes.get_string("auto_pad", "NOTSET")
    pads = listed(node, "pads", [0] * (2 * count))
    if mode in ("NOTSET", "VALID") and (mode == "VALID" or pads[:count] == pads[count:]):
        padding = [0] * count if mode == "VALID" else pads[:count]

        def symmetric(x: Any, w: Any, b: Any = None) -> Any:
            return convolve(x, w, b, strides, padding, dilations, groups)

        return symmetric

    def uneven(x: Any, w: Any, b: Any = None) -> Any:
        around = pads if mode == "NOTSET" else same_pads(mode, x.shape[2:], kernel, strides, dilations)
        return convolve(functional.pad(x, torch_pads(around)), w, b, strides, 0, dilations, groups)

    return uneven


def _conv_transpose(node: onnx_ir.Node) -> Callable[..., Any]:
    kernel = _kernel(node)
    count = len(kernel)
    convolve = _TRANSPOSED[count]
    strides = listed(node, "strides", [1] * count)
    dilations = listed(node, "dilations", [1] * count)
    groups = node.attributes.get_int("group", 1)
    extra = listed(node, "output_padding", [0] * count)
    wanted = node.attributes.get_ints("output_shape", None)
    mode = node.attributes.get_string("auto_pad", "NOTSET")
    pads = listed(node, "pads", [0] * (2 * count))
    spans = [(width - 1) * step + 1 for width, step in zip(kernel, dilations, strict=True)]
    if wanted is None and mode in ("NOTSET", "VALID") and pads[:count] == pads[count:]:
        padding = [0] * count if mode == "VALID" else pads[:count]

        def symmetric(x: Any, w: Any, b: Any = None) -> Any:
            return convolve(x, w, b, strides, padding, extra, groups, dilations)

        return symmetric

    def cropped(x: Any, w: Any, b: Any = None) -> Any:
        whole = [(size - 1) * stride + span for size, stride, span in zip(x.shape[2:], strides, spans, strict=True)]
        if wanted is not None or mode.startswith("SAME"):
            sizes = wanted or [size * stride for size, stride in zip(x.shape[2:], strides, strict=True)]
            begins, ends = [], []
            for size, have, more in zip(sizes, whole, extra, strict=True):
                total = have + more - size
                begins.append(total - total // 2 if mode != "SAME_UPPER" else total // 2)
                ends.append(total - begins[-1])
        else:
            begins, ends = pads[:count], pads[count:]
        # Beyond the whole result lies nothing but the bias: output padding, and pads that are negative.
        beyond = [max(0, more - end) for more, end in zip(extra, ends, strict=True)]
        result = functional.pad(convolve(x, w, None, strides, 0, 0, groups, dilations), torch_pads([0] * count + beyond))
        for axis, (begin, end, have, more) in enumerate(zip(begins, ends, whole, extra, strict=True)):
            result = result.narrow(axis + 2, begin, have + more - begin - end)
        return result if b is None else result + b.reshape([-1] + [1] * count)

    return cropped


CONVOLUTIONS: Mapping[str, Operator] = {"Conv": _conv, "ConvTranspose": _conv_transpose}
