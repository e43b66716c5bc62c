"""Chains of operators that move axes about, in layouts that the lowering chooses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litert.build import assert_close, expected, lowered, node, normal, onnx_model
from litert.reference import walk
from litert.wrap import wrap


class Chain:
    """A model of rank 4 that grows step by step; each step knows the shape that it reads."""

    def __init__(self, x: np.ndarray) -> None:
        self.inputs = {"x": x}
        self.nodes: list = []
        self.weights: dict[str, np.ndarray] = {}
        self.values = ["x"]
        self.shapes = {"x": x.shape}

    def add(self, kind: str, inputs: list[str], shape: tuple[int, ...], *weights: np.ndarray, **attributes: object) -> None:
        out = f"v{len(self.nodes)}"
        names = [f"{out}_w{index}" for index in range(len(weights))]
        self.weights.update(zip(names, weights, strict=True))
        self.nodes.append(node(kind, [*inputs, *names], [out], **attributes))
        self.values.append(out)
        self.shapes[out] = shape

    def step(self, kind: int, choice: int) -> None:
        """Append one of eleven operators, where the shape allows it."""
        name = self.values[-1]
        n, c, h, w = shape = self.shapes[name]
        alike = [other for other in self.values if self.shapes[other] == shape]
        earlier = alike[choice % len(alike)]
        if kind == 0 and min(h, w) >= 2:
            self.add("Conv", [name], (n, 3, h - 1, w - 1), normal(3, c, 2, 2, seed=choice), normal(3))
        elif kind == 1:
            orders = [(0, 2, 3, 1), (0, 3, 1, 2), (1, 0, 2, 3), (0, 1, 3, 2)]
            order = orders[choice % 4]
            self.add("Transpose", [name], tuple(shape[axis] for axis in order), perm=order)
        elif kind == 2 and max(shape) <= 12:
            axis = choice % 4
            grown = tuple(2 * size if place == axis else size for place, size in enumerate(shape))
            self.add("Concat", [name, earlier], grown, axis=axis)
        elif kind == 3:
            self.add("Relu", [name], shape)
        elif kind == 4:
            self.add("Mul", [name], shape, normal(*(size if place == choice % 4 else 1 for place, size in enumerate(shape))))
        elif kind == 5:
            self.add("Add", [name, earlier], shape)
        elif kind == 6 and shape[choice % 4] > 2:
            axis = choice % 4
            cut = tuple(size - 1 if place == axis else size for place, size in enumerate(shape))
            self.add("Slice", [name], cut, np.array([1]), np.array([10**6]), np.array([axis]))
        elif kind == 7:
            self.add("Softmax", [name], shape, axis=choice % 4)
        elif kind == 8:
            axis = choice % 4
            self.add("ReduceMean", [name], tuple(1 if place == axis else size for place, size in enumerate(shape)), axes=[axis])
        elif kind == 9:
            target = [(n, c * h, w, 1), (n, 1, c, h * w), (n * c, 1, h, w), (n, c, w, h)][choice % 4]
            self.add("Reshape", [name], target, np.array(target))
        elif kind == 10:
            self.add("Add", [name], shape, normal(shape[3]))


def built(steps: list[tuple[int, int]]) -> tuple:
    chain = Chain(normal(1, 4, 6, 5))
    for kind, choice in steps:
        chain.step(kind, choice)
    if not chain.nodes:
        chain.add("Relu", ["x"], chain.shapes["x"])
    return onnx_model(chain.nodes, chain.inputs, [chain.values[-1]], chain.weights), chain.inputs


STEPS = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 11)), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_any_chain_in_float(steps):
    model, inputs = built(steps)
    assert_close(model, inputs, 2e-4)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_any_chain_in_int8(steps):
    model, inputs = built(steps)
    wrapped = wrap(model, inputs)
    file = lowered(wrapped)
    for operator in walk(file.files[file.entry], inputs):
        assert operator.within_one >= 0.999 * operator.elements, operator
    assert expected(wrapped, inputs)


FLAT = {"w": normal(4, 3, 3, 3), "v": normal(144, 5)}
IMAGES = {"x": normal(2, 3, 8, 8)}


@pytest.mark.parametrize(
    ("nodes", "outputs", "transposes"),
    [
        ([node("Conv", "xw", "c"), node("Flatten", "c", "f"), node("Gemm", "fv", "y")], ["y"], 1),
        ([node("Conv", "xw", "c"), node("Flatten", "c", "f"), node("Relu", "f", "y")], ["y"], 2),
        ([node("Conv", "xw", "c"), node("Flatten", "c", "f"), node("Gemm", "fv", "y")], ["y", "f"], 2),
    ],
)
def test_flattened_batches(nodes, outputs, transposes):
    used = {name for item in nodes for name in item.input}
    model = onnx_model(nodes, IMAGES, outputs, {name: array for name, array in FLAT.items() if name in used})
    assert assert_close(model, IMAGES)["TRANSPOSE"] == transposes


def test_a_model_that_begins_and_ends_channels_last_is_not_transposed():
    nodes = [
        node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
        node("Conv", "tw", "c"),
        node("Mul", "ck", "d"),
        node("Transpose", "d", "y", perm=[0, 2, 3, 1]),
    ]
    x = {"x": normal(1, 9, 9, 4)}
    found = assert_close(onnx_model(nodes, x, ["y"], {"w": normal(4, 4, 3, 3), "k": normal(4, 1, 1)}), x)
    assert found == {"CONV_2D": 1, "MUL": 1}


def test_axes_beyond_four():
    nodes = [node("Reshape", "xs", "r"), node("Transpose", "r", "t", perm=[0, 2, 1, 3, 5, 4]), node("Reshape", "tu", "y")]
    x = {"x": normal(2, 12, 4, 6)}
    assert_close(onnx_model(nodes, x, ["y"], {"s": np.array([2, 3, 4, 4, 2, 3]), "u": np.array([2, 12, 24])}), x)


def test_weights_that_are_widened_differently_than_their_bias():
    """XNNPACK refuses int8 weights with a float16 bias."""
    parts = {"q": np.ones((4, 3, 3, 3), np.int8), "s": np.full(4, 0.5, np.float32), "h": np.ones(4, np.float16)}
    nodes = [node("DequantizeLinear", "qs", "w", axis=0), node("Cast", "h", "b", to=1), node("Conv", "xwb", "y")]
    found = assert_close(onnx_model(nodes, IMAGES, ["y"], parts), IMAGES)
    assert found["DEQUANTIZE"] == 1
