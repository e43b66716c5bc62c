"""A small world that changes: three classes in eight features, and the same classes after their inputs were turned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

FEATURES, CLASSES = 8, 3


def samples(count: int, seed: int, turned: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Inputs [n, 8] and labels [n]; `turned` says how far the world is from the old one (0), in radians."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(0.0, 1.6, (CLASSES, FEATURES))
    labels = draw.integers(0, CLASSES, count)
    x = centres[labels] + draw.normal(0.0, 1.0, (count, FEATURES))
    cos, sin = np.cos(turned), np.sin(turned)
    for one, two in ((0, 1), (2, 3), (4, 5), (6, 7)):
        x[:, [one, two]] = x[:, [one, two]] @ np.array([[cos, sin], [-sin, cos]])
    return (x + turned).astype(np.float32), labels.astype(np.int64)


def write_npz(path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    np.savez(path, x=x, y=y)
    return path


def write_source(path: Path, x: np.ndarray, y: np.ndarray, hidden: int = 24, seed: int = 0) -> Path:
    """A perceptron that was trained on these, as ONNX."""
    from sklearn.neural_network import MLPClassifier

    net = MLPClassifier((hidden,), random_state=seed, max_iter=300).fit(x, y)
    kind = onnx.TensorProto.FLOAT
    arrays = {"w1": net.coefs_[0], "b1": net.intercepts_[0], "w2": net.coefs_[1], "b2": net.intercepts_[1]}
    nodes = [
        onnx.helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        onnx.helper.make_node("Relu", ["h"], ["r"]),
        onnx.helper.make_node("Gemm", ["r", "w2", "b2"], ["l"]),
        onnx.helper.make_node("Softmax", ["l"], ["p"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "net",
        [onnx.helper.make_tensor_value_info("x", kind, ["n", FEATURES])],
        [onnx.helper.make_tensor_value_info("p", kind, ["n", CLASSES])],
        [onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path
