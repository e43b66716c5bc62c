"""Small networks of every kind, and scikit-learn's digits cut into splits: what the tests of training work on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import onnx_ir
from edgewright.calibration.bind import bind
from edgewright.calibration.dataset import Split
from edgewright.calibration.opening import open_dataset
from edgewright.core.progress import Advance, Silent
from edgewright.ir.model import Model
from edgewright.optimizer.train.needs import TrainingNeeds
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Node = tuple[str, Sequence[str], str, Mapping[str, Any]]


def graph(
    nodes: Sequence[Node],
    weights: Mapping[str, NDArray[Any]],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int | str]],
) -> Model:
    """A model of (operator, inputs, output, attributes), every input and output float32."""
    made = [helper.make_node(kind, list(given), [out], f"{out}/node", **options) for kind, given, out, options in nodes]
    given, answered = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in ends.items()]
        for ends in (inputs, outputs)
    )
    held = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    proto = helper.make_model(
        helper.make_graph(made, "small", given, answered, held), opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    )
    proto = onnx.shape_inference.infer_shapes(proto)
    onnx.checker.check_model(proto)
    return Model.from_bytes(proto.SerializeToString())


def cnn(
    widths: Sequence[int] = (8, 8), *, seed: int = 0, prefix: str = "", x: str = "x", y: str = "y", softmax: bool = False
) -> Model:
    """Convolution, batch norm, Relu and pooling for each width, and a dense layer to ten classes; random weights."""
    generator = np.random.default_rng(seed)
    nodes: list[Node] = []
    weights: dict[str, NDArray[Any]] = {}
    channels, current, size = 1, x, 8
    for index, width in enumerate(widths):
        name = f"{prefix}{index}"
        weights[f"{name}.w"] = generator.normal(0, np.sqrt(2 / (9 * channels)), (width, channels, 3, 3)).astype(np.float32)
        for part, value in (("scale", 1.0), ("shift", 0.0), ("mean", 0.0), ("var", 1.0)):
            weights[f"{name}.{part}"] = np.full(width, value, np.float32)
        statistics = [f"{name}.{part}" for part in ("scale", "shift", "mean", "var")]
        nodes += [
            ("Conv", [current, f"{name}.w"], f"{name}.conv", {"kernel_shape": [3, 3], "pads": [1] * 4}),
            ("BatchNormalization", [f"{name}.conv", *statistics], f"{name}.norm", {}),
            ("Relu", [f"{name}.norm"], f"{name}.relu", {}),
            ("MaxPool", [f"{name}.relu"], f"{name}.pool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ]
        channels, current, size = width, f"{name}.pool", size // 2
    inner = channels * size * size
    weights[f"{prefix}head"] = generator.normal(0, np.sqrt(1 / inner), (10, inner)).astype(np.float32)
    weights[f"{prefix}bias"] = np.zeros(10, np.float32)
    scores = f"{prefix}scores" if softmax else y
    nodes += [
        ("Flatten", [current], f"{prefix}flat", {}),
        ("Gemm", [f"{prefix}flat", f"{prefix}head", f"{prefix}bias"], scores, {"transB": 1}),
    ]
    if softmax:
        nodes.append(("Softmax", [scores], y, {"axis": -1}))
    return graph(nodes, weights, {x: ("n", 1, 8, 8)}, {y: ("n", 10)})


def mlp(sizes: Sequence[int], ending: str | None = None, *, seed: int = 0, x: str = "x", y: str = "y") -> Model:
    """Dense layers of these sizes with Relu between, and an operator at the end."""
    generator = np.random.default_rng(seed)
    nodes: list[Node] = []
    weights: dict[str, NDArray[Any]] = {}
    current = x
    for index, (inner, outer) in enumerate(pairwise(sizes)):
        is_last = index == len(sizes) - 2
        made = (y if ending is None else "scores") if is_last else f"dense{index}"
        weights[f"w{index}"] = generator.normal(0, np.sqrt(2 / inner), (inner, outer)).astype(np.float32)
        weights[f"b{index}"] = np.zeros(outer, np.float32)
        nodes.append(("Gemm", [current, f"w{index}", f"b{index}"], made, {}))
        if not is_last:
            nodes.append(("Relu", [made], f"relu{index}", {}))
        current = f"relu{index}"
    if ending is not None:
        nodes.append((ending, ["scores"], y, {}))
    return graph(nodes, weights, {x: ("n", sizes[0])}, {y: ("n", sizes[-1])})


@cache
def digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Images [1797, 1, 8, 8] from 0 to 1 and their digits, shuffled."""
    from sklearn.datasets import load_digits

    source = load_digits()
    order = np.random.default_rng(0).permutation(len(source.target))
    return (source.images[order, None] / 16).astype(np.float32), source.target[order].astype(np.int64)


def split(model: Model, arrays: Mapping[str, NDArray[Any]], name: str = "calib", places: Sequence[int] | None = None) -> Split:
    """Arrays (labels as "y") bound to the model's inputs."""
    data = bind(open_dataset(dict(arrays)), model.inputs)
    return Split(name, data, tuple(range(len(data)) if places is None else places))


def digit_needs(model: Model, train: int = 256, search: int = 128, *, labels: bool = True, **more: Any) -> TrainingNeeds:
    """Needs over digits as `model` takes them: `train` samples from the first on, `search` from the 1,000th on; one thread."""
    x, y = digits()
    data = split(model, {"x": x, "y": y} if labels else {"x": x}).data
    tuned = {"reference": model, "threads": 1, **more}
    chosen = Split("search", data, tuple(range(1000, 1000 + search))) if search else None
    return TrainingNeeds(train=Split("calib", data, tuple(range(train))), search=chosen, **tuned)


def accuracy(model: Model) -> float:
    """Share of the last 400 digits, which nothing is trained or chosen on, that ONNX Runtime has right."""
    import onnxruntime

    x, y = digits()
    session = onnxruntime.InferenceSession(model.to_bytes(), providers=["CPUExecutionProvider"])
    return float((session.run(None, {model.inputs[0].name: x[-400:]})[0].argmax(1) == y[-400:]).mean())


def damaged(model: Model, strength: float, seed: int = 0) -> Model:
    """The model with noise added to every weight of more than one axis, `strength` times their spread."""
    generator = np.random.default_rng(seed)
    result = model.clone()
    for name, value in result.graph.initializers.items():
        assert value.const_value is not None
        array = value.const_value.numpy()
        if array.ndim > 1:
            noise = generator.normal(0, strength * array.std(), array.shape)
            value.const_value = onnx_ir.tensor((array + noise).astype(np.float32), name=name)
    return result


class Recorder(Silent):
    """Remembers the names of tasks, the units that each got, and what was said."""

    def __init__(self) -> None:
        self.tasks: list[str] = []
        self.units = 0
        self.said: list[str] = []

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Advance]:
        self.tasks.append(name)

        def advance(units: int, /, said: str | None = None) -> None:
            self.units += units
            if said is not None:
                self.said.append(said)

        yield advance


def is_one_sentence(error: BaseException) -> bool:
    """Whether a message is one sentence that ends in a full stop."""
    said = str(error)
    return said.endswith(".") and "\n" not in said and ". " not in said
