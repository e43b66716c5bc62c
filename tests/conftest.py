"""What all tests share: none fails for being slow; a small CNN that really tells digits apart, and digits it has not seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import settings
from onnx import TensorProto, helper, numpy_helper

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def _features(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Random 3x3 filters, ReLU, 2x2 max pooling: what the network's first layers compute."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    maps = np.maximum(np.einsum("nchwij,ocij->nohw", windows, weights, optimize=True), 0)
    return maps.reshape(len(x), -1, 4, 2, 4, 2).max(axis=(3, 5)).reshape(len(x), -1)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(model.onnx, data.npz): the data have a column `half` with two values."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import RidgeClassifier

    folder = tmp_path_factory.mktemp("digits")
    source = load_digits()
    order = np.random.default_rng(0).permutation(len(source.target))
    x, y = source.images[order, None].astype(np.float32), source.target[order]
    weights = np.random.default_rng(1).normal(0, 0.3, (24, 1, 3, 3)).astype(np.float32)
    head = RidgeClassifier(alpha=100.0).fit(_features(x[:700], weights), y[:700])
    data = {"x": x[700:], "y": y[700:], "half": np.where(np.arange(len(y) - 700) % 2, "odd", "even")}
    np.savez(folder / "data.npz", **data)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("MaxPool", ["r"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "head", "bias"], ["scores"], "head", transB=1),
    ]
    initializers = {"w": weights, "head": head.coef_.astype(np.float32), "bias": head.intercept_.astype(np.float32)}
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(array, name) for name, array in initializers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "digits.onnx")
    return folder / "digits.onnx", folder / "data.npz"
