"""What all tests share: none fails for being slow; a small CNN that really tells digits apart, and digits it has not seen."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# The networks here are too small to share: threads would only wait for each other, busily, beside the other test processes.
# numpy and torch read it when they are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import onnx
import pytest
from hypothesis import settings
from onnx import TensorProto, helper, numpy_helper

# Half of the usual examples: the whole suite has ten minutes. A property that needs more says so.
settings.register_profile("suite", deadline=None, max_examples=50)
settings.load_profile("suite")


def _features(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Random 3x3 filters, ReLU, 2x2 max pooling: what the network's first layers compute."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    maps = np.maximum(np.einsum("nchwij,ocij->nohw", windows, weights, optimize=True), 0)
    return maps.reshape(len(x), -1, 4, 2, 4, 2).max(axis=(3, 5)).reshape(len(x), -1)


# Files that take longest, in this order: they come first, so that no test process waits for another one's at the end.
_FIRST = (
    "ingest/test_keras_step.py",
    "compile/test_compile.py",
    "ingest/test_torch.py",
    "compile/test_keras_steps.py",
    "compile/test_training.py",
    "ingest/test_keras.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files; within a file nothing changes."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


_PICTURES: dict[tuple[Any, ...], str] = {}


@pytest.fixture
def drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report's picture of one name, size and description is drawn the first time alone: tests/report looks at pictures."""
    from edgewright.optimizer.report import frontier, pictures
    from edgewright.optimizer.report.canvas import svg_of

    def once(draw: Callable[[Any], None], *told: Any) -> str:
        if told not in _PICTURES:
            _PICTURES[told] = svg_of(draw, *told)
        return _PICTURES[told]

    for module in (frontier, pictures):
        monkeypatch.setattr(module, "svg_of", once)


@pytest.fixture(scope="session")
def keras_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all Keras models (tests/keras_models.py), made once for all test processes."""
    if find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed")
    from edgewright.optimizer.ingest import tensorflow_job

    base = tmp_path_factory.getbasetemp()
    root = base if "PYTEST_XDIST_WORKER" not in os.environ else base.parent
    folder, script = root / "keras-models", Path(__file__).with_name("keras_models.py")
    with (root / "keras-models.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            made = root / "keras-models.part"
            made.mkdir()
            environment = {**os.environ, **tensorflow_job._ENVIRONMENT}
            subprocess.run([sys.executable, str(script), str(made)], check=True, capture_output=True, env=environment)
            made.rename(folder)
    return folder


@pytest.fixture(scope="session")
def tfmot_files(keras_files: Path) -> Path:
    """The same folder, for tests that need tensorflow-model-optimization."""
    if find_spec("tensorflow_model_optimization") is None:
        pytest.skip("tensorflow-model-optimization is not installed")
    return keras_files


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
