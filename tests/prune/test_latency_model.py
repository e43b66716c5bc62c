"""The time of layers: alone as in their model, interpolated, remembered, and read from a file of measurements."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
from edgewright.core.errors import RuntimeFailure
from edgewright.core.store import StepStore
from edgewright.device_profiles.loader import known, load
from edgewright.ir.model import Model
from edgewright.ir.rewrites.canonicalize import Canonicalize
from edgewright.ir.statistics import macs
from edgewright.optimizer.measure import Measurements
from edgewright.optimizer.prune.groups import find_groups
from edgewright.optimizer.prune.latency_model import measured_latency, timed_runtimes
from edgewright.optimizer.prune.layer_table import Table, figure
from edgewright.optimizer.prune.single_layer import shape_of, single_layer
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture(scope="module")
def model():
    random = np.random.default_rng(0)
    shapes = {"w": (32, 8, 3, 3), "d": (32, 1, 3, 3), "v": (64, 32, 1, 1), "head": (64, 10)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["ra"]),
        helper.make_node("Conv", ["ra", "d"], ["b"], pads=[1, 1, 1, 1], group=32),
        helper.make_node("Relu", ["b"], ["rb"]),
        helper.make_node("Conv", ["rb", "v"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "head"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(random.normal(0, 0.1, shape).astype(np.float32), name) for name, shape in shapes.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return Canonicalize().run(Model.from_bytes(proto.SerializeToString())).model


def test_a_layer_alone_is_the_layer_with_other_channels(model):
    nodes = {str(node.outputs[0].name): node for node in model.graph}
    for name, inputs, outputs, expected in (
        ("a", 8, 32, 16 * 16 * 32 * 8 * 9),
        ("a", 8, 16, 16 * 16 * 16 * 8 * 9),
        ("b", 24, 24, 16 * 16 * 24 * 9),
        ("c", 16, 40, 16 * 16 * 16 * 40),
        ("y", 32, 10, 320),
    ):
        shape = shape_of(nodes[name])
        assert shape is not None
        alone = single_layer(shape, inputs, outputs)
        assert macs(alone) == expected
        given = np.ones(shape.input_shape(inputs), np.float32)
        (made,) = onnxruntime.InferenceSession(alone.to_bytes()).run(None, {"x": given})
        assert made.shape[shape.axis] == outputs
    assert shape_of(nodes["ra"]) is None


def test_a_table_is_linear_between_its_points():
    table = Table((8, 16), (10, 20, 40), ((1.0, 2.0, 4.0), (3.0, 6.0, 12.0)))
    assert table.at(8, 10) == 1.0
    assert table.at(12, 10) == 2.0
    assert table.at(16, 30) == 9.0
    assert table.at(8, 100) == 4.0


def test_more_channels_never_take_less_time_in_a_figure():
    found = Table.from_figure(figure((8, 16), (10, 20), [[1.0, 3.0], [2.0, 2.5]]))
    assert found == Table((8, 16), (10, 20), ((1.0, 3.0), (2.0, 3.0)))
    assert Table.from_figure(figure((8, 16), (10, 20), None)) is None


@pytest.mark.parametrize(
    "value",
    [
        figure((16, 8), (10,), [[1.0], [2.0]]),
        figure((8, 8), (10,), [[1.0], [2.0]]),
        figure((0,), (10,), [[1.0]]),
        figure((8.5,), (10,), [[1.0]]),
        figure((), (10,), []),
        figure((8,), (10, 20), [[1.0]]),
        figure((8,), (10, 20), [[1.0, 2.0], [3.0]]),
        figure((8,), (10,), [[0.0]]),
        figure((8,), (10,), [[float("inf")]]),
        figure((8,), (10,), [["fast"]]),
        {"inputs": [8], "outputs": [10]},
        [[1.0]],
    ],
)
def test_a_figure_that_is_none_is_refused(value):
    with pytest.raises((ValueError, KeyError, TypeError)):
        Table.from_figure(value)


def test_measured_latency(model, tmp_path):
    profile = next((found for name in known() if timed_runtimes(found := load(name))), None)
    if profile is None:
        pytest.skip("no profile of this machine's kind")
    groups = find_groups(model).groups
    full = {group.name: group.units for group in groups}
    taken = Measurements(StepStore(tmp_path / "store"), None)
    found = measured_latency(model, groups, profile, timed_runtimes(profile)[:1], 8, taken)
    assert found.total(full) == pytest.approx(1.0)
    half = {name: units // 2 for name, units in full.items()}
    assert 0 < found.total(half) <= 1.0
    assert found.neighbours(groups[0].name) == {group.name for group in groups}
    for group in groups:
        less = {**full, group.name: group.units // 2}
        saved = found.of_group(group.name, full) - found.of_group(group.name, less)
        assert saved == pytest.approx(1.0 - found.total(less))
    file = tmp_path / "measurements.json"
    file.write_bytes(taken.to_bytes())
    elsewhere = Measurements(StepStore(tmp_path / "other"), file)
    again = measured_latency(model, groups, profile, timed_runtimes(profile)[:1], 8, elsewhere)
    assert again.digest() == found.digest()
    assert elsewhere.to_bytes() == taken.to_bytes()
    told = json.loads(file.read_bytes())
    for name in told["figures"]:
        told["figures"][name]["time_us"] = [[7.0 for _ in row] for row in told["figures"][name]["time_us"]]
    file.write_text(json.dumps(told), "utf-8")
    read = measured_latency(
        model, groups, profile, timed_runtimes(profile)[:1], 8, Measurements(StepStore(tmp_path / "other"), file)
    )
    assert read.total(half) == 1.0


@pytest.mark.parametrize(("failures", "is_told"), [(1, True), (100, False)])
def test_a_runtime_that_fails_once_is_asked_again_and_one_that_goes_on_has_no_times(
    model, tmp_path, monkeypatch, failures, is_told
):
    left = [failures]

    def time_us(timer, shape, runtime, inputs, outputs):
        if left[0] > 0:
            left[0] -= 1
            raise RuntimeFailure("it failed while it ran.")
        return 2.0

    monkeypatch.setattr("edgewright.optimizer.prune.latency_model._Timer._time_us", time_us)
    groups = find_groups(model).groups
    taken = Measurements(StepStore(tmp_path), None)
    measured_latency(model, groups, load("x86-64-avx2"), ("onnxruntime",), 8, taken)
    times = [item["time_us"] for item in json.loads(taken.to_bytes())["figures"].values()]
    assert [item is not None for item in times] == [is_told] * len(times)


def test_no_runtime_is_timed_for_another_machine():
    assert timed_runtimes(None) == ()
    assert timed_runtimes(load("raspberry-pi-4b")) == ()
