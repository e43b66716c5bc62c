"""Models of a wanted number of parameters: residual networks with batch norm, grown in depth or in width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

CLASSES, SIDE = 10, 16
_DEEP_WIDTH = 128  # of every layer, whatever the depth
_WIDE_CONVOLUTIONS = 16  # whatever the width


def write_sized(path: Path, parameters: int, shape: str = "deep", seed: int = 0) -> int:
    """Write an ONNX model x [n, 3, 16, 16] -> y [n, 10] of about that many parameters; the number that it has.

    `shape`: "deep" (layers of 128 channels, as many as are needed) or "wide" (16 layers, as wide as is needed).
    """
    if shape == "deep":
        width, count = _DEEP_WIDTH, max(2, round(parameters / (9 * _DEEP_WIDTH**2) / 2) * 2)
    else:
        width, count = round((parameters / (9 * _WIDE_CONVOLUTIONS)) ** 0.5), _WIDE_CONVOLUTIONS
    graph = _Graph(np.random.default_rng(seed))
    # To 2 x 2 at once: weights are what grows, not the work for each of them.
    y = graph.conv("x", 3, width, stride=8, gain=1.0)
    for _ in range(count // 2):
        inner = graph.conv(y, width, width, gain=1.0)
        # Each branch adds little, so that any depth keeps its answers in range.
        y = graph.add(y, graph.conv(inner, width, width, gain=0.3, activation=False))
    graph.head(y, width)
    onnx.save(graph.model(), path)
    return graph.parameters


def random_images(count: int, seed: int = 1) -> NDArray[np.float32]:
    """Smooth random images [count, 3, 16, 16]."""
    coarse = np.random.default_rng(seed).standard_normal((count, 3, 4, 4), dtype=np.float32)
    return np.kron(coarse, np.ones((1, 1, SIDE // 4, SIDE // 4), np.float32))


class _Graph:
    """Collects nodes and weights."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self.parameters = 0

    def conv(self, source: str, inputs: int, outputs: int, *, gain: float, stride: int = 1, activation: bool = True) -> str:
        """Conv 3 x 3, batch norm whose gamma is about `gain`, and Relu; the name of what it makes."""
        name = f"l{len(self._nodes)}"
        spread = np.float32((2 / (9 * inputs)) ** 0.5)
        kernel = self._random.standard_normal((outputs, inputs, 3, 3), dtype=np.float32) * spread
        rows = [
            self._random.uniform(0.8 * gain, 1.2 * gain, outputs),
            self._random.uniform(-0.1, 0.1, outputs),
            self._random.uniform(-0.1, 0.1, outputs),
            self._random.uniform(0.8, 1.2, outputs),
        ]
        norm = [self._weight(f"{name}_n{index}", row.astype(np.float32)) for index, row in enumerate(rows)]
        self._node(
            "Conv", [source, self._weight(f"{name}_w", kernel)], f"{name}_c", strides=[stride, stride], pads=[1, 1, 1, 1]
        )
        made = self._node("BatchNormalization", [f"{name}_c", *norm], f"{name}_n")
        return self._node("Relu", [made], f"{name}_y") if activation else made

    def add(self, left: str, right: str) -> str:
        """The sum of both."""
        return self._node("Add", [left, right], f"l{len(self._nodes)}_s")

    def head(self, source: str, width: int) -> None:
        """Pooling and a classifier that make y."""
        pooled = self._node("GlobalAveragePool", [source], "pooled")
        flat = self._node("Flatten", [pooled], "flat")
        matrix = self._random.standard_normal((width, CLASSES), dtype=np.float32) * np.float32(width**-0.5)
        self._node("Gemm", [flat, self._weight("head_w", matrix), self._weight("head_b", np.zeros(CLASSES, np.float32))], "y")

    def model(self) -> onnx.ModelProto:
        """The whole as ONNX."""
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", CLASSES])
        graph = helper.make_graph(self._nodes, "sized", [x], [y], self._weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [output], name=f"{kind}:{output}", **attributes))
        return output

    def _weight(self, name: str, array: NDArray[np.float32]) -> str:
        self._weights.append(numpy_helper.from_array(array, name))
        self.parameters += array.size
        return name
