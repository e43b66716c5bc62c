"""One run of a real model through ONNX Runtime feeds every observer."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir
import pytest
from edgewright.calibration.collect import collect, float_tensors
from edgewright.calibration.dataset import Batch, Split
from edgewright.core.errors import DataError, ModelError, UsageError
from edgewright.ir.model import Model
from onnx import TensorProto, helper, numpy_helper


@dataclass
class Arrays:
    """A data set in memory that remembers how it was read."""

    values: dict[str, np.ndarray]
    largest: int = 0

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def read(self, indices: Sequence[int]) -> Batch:
        self.largest = max(self.largest, len(indices))
        return Batch({name: array[list(indices)] for name, array in self.values.items()}, None, {}, indices)


def split(data: Any, count: int | None = None) -> Split:
    return Split("calib", data, tuple(range(len(data) if count is None else count)))


def convolution(batch: int | str = "n") -> Model:
    random = np.random.default_rng(0)
    weight = numpy_helper.from_array(random.normal(size=(4, 3, 3, 3)).astype(np.float32), "w")
    shape = numpy_helper.from_array(np.array([0, 4], np.int64), "shape")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Reshape", ["p", "shape"], ["y"]),
        helper.make_node("ArgMax", ["y"], ["top"], axis=1, keepdims=0),
        helper.make_node("Mul", ["w", "w"], ["constant"]),
    ]

    def tensor(name: str, size: list[int | str], kind: int = TensorProto.FLOAT) -> Any:
        return helper.make_tensor_value_info(name, kind, size)

    graph = helper.make_graph(
        nodes,
        "g",
        [tensor("x", [batch, 3, 8, 8])],
        [tensor("y", [batch, 4]), tensor("top", [batch], TensorProto.INT64)],
        [weight, shape],
        value_info=[
            tensor("c", [batch, 4, 8, 8]),
            tensor("r", [batch, 4, 8, 8]),
            tensor("p", [batch, 4, 1, 1]),
            tensor("constant", [4, 3, 3, 3]),
        ],
    )
    return Model(onnx_ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)))


def images(count: int = 50) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, 3, 8, 8)).astype(np.float32)


def reference(data: np.ndarray) -> dict[str, np.ndarray]:
    torch = pytest.importorskip("torch")
    weight = torch.from_numpy(np.array(convolution().weights()["w"]))
    c = torch.nn.functional.conv2d(torch.from_numpy(data), weight, padding=1)
    return {"x": data, "c": c.numpy(), "r": c.relu().numpy(), "y": c.relu().mean((2, 3)).numpy()}


def test_float_tensors_are_those_that_samples_decide() -> None:
    assert float_tensors(convolution()) == ("x", "c", "r", "p", "y")


def test_statistics_are_those_of_the_tensors() -> None:
    data = images()
    found = collect(convolution(), split(Arrays({"x": data})), channel_means=("c", "x"))
    for name, values in reference(data).items():
        one = found[name]
        assert one.count == values.size
        assert (one.minimum, one.maximum) == pytest.approx((values.min(), values.max()), rel=1e-5)
        assert one.mean == pytest.approx(float(values.mean(dtype=np.float64)), abs=1e-5)
        assert one.histogram.total == values.size
    np.testing.assert_allclose(found["c"].channel_means, reference(data)["c"].mean((0, 2, 3)), atol=1e-5)
    assert found["r"].channel_means is None
    assert list(found) == ["x", "c", "r", "p", "y"]


def test_only_the_wanted_tensors_are_collected() -> None:
    model = convolution()
    before = model.to_bytes()
    found = collect(model, split(Arrays({"x": images()})), ["r", "x", "r"])
    assert list(found) == ["r", "x"]
    assert model.to_bytes() == before
    assert list(collect(model, split(Arrays({"x": images()})), ["x"])) == ["x"]


def test_a_fixed_batch_is_filled_up_without_counting_the_filling() -> None:
    data = images(10)
    free, fixed = (collect(convolution(batch), split(Arrays({"x": data}))) for batch in ("n", 4))
    for name in free:
        assert fixed[name].count == free[name].count
        assert fixed[name].minimum == pytest.approx(free[name].minimum, rel=1e-5)
        assert fixed[name].mean == pytest.approx(free[name].mean, abs=1e-6)


def test_two_collections_are_byte_identical() -> None:
    one, two = (collect(convolution(), split(Arrays({"x": images()})), threads=threads).to_bytes() for threads in (2, 2))
    assert one == two


def test_samples_are_read_a_few_at_a_time() -> None:
    data = Arrays({"x": images(200)})
    collect(convolution(), split(data))
    assert data.largest <= 32


def test_progress_is_told() -> None:
    steps: list[int] = []

    class Watch:
        def task(self, name: str, total: int | None = None) -> Any:
            from contextlib import nullcontext

            assert (name, total) == ("calibrate", 50)
            return nullcontext(steps.append)

        def note(self, text: str) -> None:
            raise AssertionError(text)

    collect(convolution(), split(Arrays({"x": images()})), progress=Watch())
    assert sum(steps) == 50


def test_nan_names_the_tensor() -> None:
    data = images(40)
    data[35, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="'x' has 1 values that are NaN"):
        collect(convolution(), split(Arrays({"x": data})))
    with pytest.raises(DataError, match="'c' has"):
        collect(convolution(), split(Arrays({"x": data})), ["c"])


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"z": images(3)}, "no array for the model input 'x', only z"),
        ({"x": images(3)[:, :2]}, r"have the shape \(1, 2, 8, 8\)"),
        ({"x": images(3)[:, :, 0]}, "have the shape"),
        ({"x": images(3).astype(np.float64)}, "are float64, the model wants float32"),
    ],
)
def test_data_that_do_not_fit_are_refused(values: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(DataError, match=says):
        collect(convolution(), split(Arrays(values)))


def test_empty_split_and_unknown_tensor_are_refused() -> None:
    data = Arrays({"x": images(3)})
    with pytest.raises(DataError, match="has no samples"):
        collect(convolution(), split(data, 0))
    with pytest.raises(UsageError, match="unknown tensor to calibrate 'cc'; did you mean 'c'"):
        collect(convolution(), split(data), ["cc"])
    with pytest.raises(UsageError, match="unknown tensor to calibrate 'top'"):
        collect(convolution(), split(data), channel_means=["top"])


def test_a_model_that_cannot_run_is_refused() -> None:
    model = convolution()
    model.graph.node(2).op_type = "NoSuchOperator"
    with pytest.raises(ModelError, match="cannot load the model to calibrate it"):
        collect(model, split(Arrays({"x": images(3)})))


def test_a_model_that_fails_while_running_is_refused() -> None:
    shape = numpy_helper.from_array(np.array([3, 5], np.int64), "shape")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        "g",
        [value("x", TensorProto.FLOAT, ["n", 4])],
        [value("y", TensorProto.FLOAT, [3, 5])],
        [shape],
    )
    model = Model(onnx_ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)))
    with pytest.raises(ModelError, match="cannot run the model to calibrate it"):
        collect(model, split(Arrays({"x": np.zeros((2, 4), np.float32)})))


def test_memory_does_not_grow_with_the_samples() -> None:
    @dataclass
    class Noise:
        def read(self, indices: Sequence[int]) -> Batch:
            random = np.random.default_rng(indices[0])
            return Batch({"x": random.normal(size=(len(indices), 3, 8, 8)).astype(np.float32)}, None, {}, indices)

    def peak(samples: int) -> int:
        part = Split("calib", Noise(), tuple(range(samples)))
        tracemalloc.start()
        try:
            collect(convolution(), part)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(64)
    samples_bytes = (1024 - 64) * 3 * 8 * 8 * 4
    # What grows is the number of filled bins, at most 2,048 a tensor.
    assert peak(1024) - peak(64) < samples_bytes / 10
