"""Train a perceptron on scikit-learn's digits: digits.onnx, data.npz for the compile, test.npz that no compile sees."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

TRAIN, TEST = 700, 400
HIDDEN = (64, 32)


def main() -> None:
    """Write the three files into the working folder."""
    source = load_digits()
    order = np.random.default_rng(0).permutation(len(source.target))
    x, y = (source.data[order] / 16).astype(np.float32), source.target[order]
    trained = MLPClassifier(HIDDEN, max_iter=500, random_state=0).fit(x[:TRAIN], y[:TRAIN])
    onnx.save(as_onnx(trained), "digits.onnx")
    np.savez("data.npz", x=x[TRAIN:-TEST], y=y[TRAIN:-TEST])
    np.savez("test.npz", x=x[-TEST:], y=y[-TEST:])


def as_onnx(trained: MLPClassifier) -> onnx.ModelProto:
    """Gemm and Relu for each hidden layer, then Gemm for the scores."""
    nodes, weights, last = [], [], "x"
    for number, (matrix, bias) in enumerate(zip(trained.coefs_, trained.intercepts_, strict=True)):
        names = [f"weight{number}", f"bias{number}"]
        values = (matrix.astype(np.float32), bias.astype(np.float32))
        weights += [numpy_helper.from_array(array, name) for name, array in zip(names, values, strict=True)]
        is_last = number == len(trained.coefs_) - 1
        made = "scores" if is_last else f"layer{number}"
        nodes.append(helper.make_node("Gemm", [last, *names], [made], made))
        if not is_last:
            nodes.append(helper.make_node("Relu", [made], [f"active{number}"]))
        last = f"active{number}"
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", trained.n_features_in_])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", len(trained.classes_)])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


if __name__ == "__main__":
    main()
