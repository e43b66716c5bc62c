"""The measuring harness on small real models; what is asserted is structure, never a time."""

from __future__ import annotations

import json
import types

import numpy as np
import onnx
import pytest
from edgewright.core.errors import DataError, EdgewrightError, RuntimeFailure, UsageError
from edgewright.core.executor import TensorSpec
from edgewright.core.resident import peak_bytes, reset_peak
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.runtimes import registry
from edgewright.runtimes.bench.batches import batch_size, example_inputs, run_all
from edgewright.runtimes.bench.clock import fixed_kernel_ms
from edgewright.runtimes.bench.compare import Choice, RatioResult, compare, never_slower
from edgewright.runtimes.bench.latency import Budget, measure, warm_up
from edgewright.runtimes.bench.measurement import Measurement
from edgewright.runtimes.bench.memory import peak_memory_bytes
from edgewright.runtimes.bench.opening import load_model, open_model, runtime_version
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

QUICK = Budget(windows=5, runs=10, warm_up_s=0.1, window_s=0.0)
TEXT = """
<ir_version: 9, opset_import: ["" : 17]>
small (float[BATCH,32] x) => (float[BATCH,8] y) <float[32,8] w> { h = MatMul(x, w) y = Relu(h) }
"""


def lowered(batch="1", runtime="onnxruntime"):
    proto = onnx.parser.parse_model(TEXT.replace("BATCH", batch))
    w = np.random.default_rng(0).standard_normal((32, 8)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    return registry.get(runtime).lower(Model.from_bytes(proto.SerializeToString()), load("x86-64-vnni"))


@pytest.fixture
def executor():
    made = lowered()
    return registry.get("onnxruntime").load(made.files, made.entry, 1)


@pytest.fixture
def measured(executor):
    return measure(executor, example_inputs(executor), runtime="onnxruntime", version="1", threads=1, budget=QUICK)


def test_a_measurement_has_five_windows_and_its_figures_agree(measured):
    assert len(measured.window_ms) == 5
    assert measured.runs >= 50
    assert measured.median_ms == sorted(measured.window_ms)[2]
    assert measured.p50_ms <= measured.p90_ms <= measured.p99_ms
    assert measured.p90_upper_ms >= measured.p90_ms
    assert measured.spread >= 0
    assert measured.is_disturbed == (abs(measured.drift) > 0.03)
    assert not measured.is_shortened


def test_a_slow_model_gets_fewer_runs_and_says_so(executor):
    budget = Budget(windows=2, runs=50, warm_up_s=0.05, total_s=0.0, window_s=0.0)
    found = measure(executor, example_inputs(executor), runtime="x", version="1", threads=1, budget=budget)
    assert found.is_shortened
    assert found.runs == 2 * 5
    assert found.p90_upper_ms is None


def test_a_budget_without_windows_is_refused(executor):
    with pytest.raises(RuntimeFailure, match="at least one window"):
        measure(executor, example_inputs(executor), runtime="x", version="1", threads=1, budget=Budget(windows=0))


def test_throughput_is_all_samples_of_a_window_over_the_sum_of_its_runs(executor):
    found = measure(executor, example_inputs(executor), runtime="x", version="1", threads=1, budget=QUICK, batch=4)
    assert found.window_runs == (10,) * 5
    assert found.throughput == sorted(found.window_throughput)[2]
    for rate, p90, p99 in zip(found.window_throughput, found.window_p90_ms, found.window_p99_ms, strict=True):
        assert rate >= 4e3 / p99 / 10
        assert p90 <= p99
    assert Measurement.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_each_window_takes_the_next_input(executor):
    seen = []

    class Watching:
        inputs, outputs = executor.inputs, executor.outputs

        def run(self, given):
            seen.append(float(given["x"][0, 0]))
            return executor.run(given)

    budget = Budget(windows=3, runs=2, least_runs=2, warm_up_s=0.0, window_s=0.0)
    inputs = [{"x": np.full((1, 32), value, np.float32)} for value in (1, 2, 3)]
    measure(Watching(), inputs, runtime="x", version="1", threads=1, budget=budget)
    assert seen == [1, 1, 1, 2, 2, 3, 3]


def test_what_an_older_version_measured_is_read(measured):
    value = measured.to_json()
    assert "throughput" not in value
    assert Measurement.from_json({name: item for name, item in value.items() if name != "rss_growth_bytes"}) == measured


def test_warm_up_runs_at_least_once(executor):
    assert len(warm_up(executor, example_inputs(executor), 0.0)) == 1


def test_a_measurement_round_trips_through_json(measured):
    assert Measurement.from_json(json.loads(json.dumps(measured.to_json()))) == measured


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.pop("median_ms"),
        lambda value: value.update(surprise=1),
        lambda value: value.update(median_ms="fast"),
        lambda value: value.update(runs=1.5),
        lambda value: value.update(is_disturbed=1),
        lambda value: value.update(window_ms=["a"]),
        lambda value: value.update(cpu=None),
    ],
)
def test_a_measurement_that_is_not_one_is_refused(measured, change):
    value = measured.to_json()
    change(value)
    with pytest.raises(DataError, match="measure again"):
        Measurement.from_json(value)


def test_the_fixed_kernel_takes_some_time():
    assert fixed_kernel_ms() > 0


def test_a_comparison_with_itself_holds_one(executor):
    found = compare(executor, executor, example_inputs(executor), 15, warm_up_s=0.05)
    assert found.low <= found.ratio <= found.high
    assert found.rounds == 15
    assert found.runs >= 1
    assert RatioResult.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_too_few_rounds_are_refused(executor):
    with pytest.raises(RuntimeFailure, match="at least 5"):
        compare(executor, executor, example_inputs(executor), 4)


def ratio(low, middle, high):
    return RatioResult(middle, low, high, 1.0, 1.0, 50, 1, False)


@pytest.mark.parametrize(
    ("found", "candidate_bytes", "released"),
    [
        (ratio(0.5, 0.6, 0.7), 100, "candidate"),
        (ratio(0.5, 0.6, 0.7), 900, "candidate"),
        (ratio(0.99, 1.0, 1.01), 100, "candidate"),
        (ratio(0.99, 1.0, 1.01), 900, "reference"),
        (ratio(0.99, 1.0, 1.02), 500, "candidate"),
        (ratio(0.9, 1.0, 1.021), 100, "reference"),
        (ratio(1.1, 1.2, 1.3), 100, "reference"),
        (ratio(float("nan"), float("nan"), float("nan")), 100, "reference"),
    ],
)
def test_the_rule_that_nothing_gets_slower(found, candidate_bytes, released):
    choice = never_slower(found, candidate_bytes, 500)
    assert isinstance(choice, Choice)
    assert choice.released == released
    assert choice.why.endswith(".")


@given(st.floats(0.01, 10), st.floats(0, 1), st.floats(0, 1), st.integers(1, 1000), st.integers(1, 1000))
def test_nothing_is_released_that_may_be_slower(middle, below, above, ours, theirs):
    found = ratio(middle - below * middle, middle, middle + above)
    assert never_slower(found, ours, theirs).released == "reference" or found.high <= 1.02


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_any_number_of_samples_goes_through_a_fixed_batch(count, executor):
    made = lowered("4")
    four = registry.get("onnxruntime").load(made.files, made.entry, 1)
    x = np.random.default_rng(count).standard_normal((count, 32)).astype(np.float32)
    together, one_by_one = run_all(four, {"x": x})["y"], run_all(executor, {"x": x})["y"]
    assert together.shape == (count, 8)
    np.testing.assert_allclose(together, one_by_one, rtol=1e-5, atol=1e-6)


@given(arrays.arrays(np.float32, (7, 32), elements=st.floats(-10, 10, width=32)))
def test_samples_do_not_touch_each_other(x):
    made = lowered()
    one = registry.get("onnxruntime").load(made.files, made.entry, 1)
    order = np.random.default_rng(0).permutation(7)
    assert np.array_equal(run_all(one, {"x": x})["y"][order], run_all(one, {"x": x[order]})["y"])


def test_a_free_batch_gets_one_sample_at_a_time():
    made = lowered("N")
    free = registry.get("onnxruntime").load(made.files, made.entry, 1)
    assert free.inputs == (TensorSpec("x", "float32", (None, 32)),)
    assert run_all(free, {"x": np.ones((3, 32), np.float32)})["y"].shape == (3, 8)


class Scalar:
    """An executor whose output has no batch axis."""

    def __init__(self, batch):
        self.inputs = (TensorSpec("x", "float32", (batch, 2)),)
        self.outputs = (TensorSpec("y", "float32", ()),)

    def run(self, inputs):
        return {"y": inputs["x"].sum()}


def test_outputs_without_a_batch_axis():
    assert run_all(Scalar(1), {"x": np.ones((3, 2), np.float32)})["y"].tolist() == [2, 2, 2]
    with pytest.raises(RuntimeFailure, match="batch axis"):
        run_all(Scalar(2), {"x": np.ones((3, 2), np.float32)})


@pytest.mark.parametrize(
    "given_arrays", [{}, {"x": np.ones((0, 32))}, {"x": np.ones((2, 3)), "z": np.ones((3, 3))}, {"x": np.float32(1)}]
)
def test_samples_that_do_not_fit_together_are_refused(executor, given_arrays):
    with pytest.raises(RuntimeFailure):
        run_all(executor, given_arrays)


def test_inputs_with_two_batch_sizes_are_refused():
    with pytest.raises(RuntimeFailure, match="batch sizes"):
        batch_size([TensorSpec("a", "float32", (1, 2)), TensorSpec("b", "float32", (2, 2))])


def test_example_inputs_follow_types_and_seed():
    ports = types.SimpleNamespace(inputs=(TensorSpec("i", "int64", (2, None)), TensorSpec("f", "float16", (3,))))
    first, second = example_inputs(ports, 1), example_inputs(ports, 1)
    assert first["i"].shape == (2, 1)
    assert first["i"].dtype == np.int64
    assert first["f"].dtype == np.float16
    assert all(np.array_equal(first[name], second[name]) for name in first)
    free = types.SimpleNamespace(inputs=(TensorSpec("x", "float32", (None, None, 3)),))
    assert example_inputs(free, 1, batch=8)["x"].shape == (8, 1, 3)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_memory_is_what_a_fresh_process_grows_by(runtime):
    made = lowered(runtime=runtime)
    inputs = {"x": np.ones((1, 32), np.float32)}
    small = peak_memory_bytes(runtime, made.files, made.entry, 1, inputs, runs=1)
    assert 0 < small < 1 << 30


def test_memory_grows_with_the_weights():
    inputs = {"x": np.ones((1, 32), np.float32)}
    grown = []
    for width in (8, 200_000):
        proto = onnx.parser.parse_model(TEXT.replace("BATCH", "1").replace("8]", f"{width}]"))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((32, width), np.float32), "w"))
        grown.append(peak_memory_bytes("onnxruntime", {"m.onnx": proto.SerializeToString()}, "m.onnx", 1, inputs))
    assert grown[1] - grown[0] > 32 * 200_000 * 4 / 2


def test_a_broken_file_has_no_memory_figure():
    with pytest.raises(RuntimeFailure, match="cannot load"):
        peak_memory_bytes("onnxruntime", {"model.onnx": b"garbage"}, "model.onnx", 1, {})


def test_the_peak_of_this_process_starts_from_where_it_stands():
    before = reset_peak()
    held = np.ones(1 << 23)
    assert peak_bytes() >= before
    assert held.nbytes < 1 << 27


@pytest.fixture
def model_file(tmp_path):
    made = lowered()
    file = tmp_path / "small.onnx"
    file.write_bytes(made.files[made.entry])
    return file


def test_a_file_is_opened_by_its_ending(model_file, tmp_path):
    model = open_model(model_file)
    assert model.runtime == "onnxruntime"
    assert runtime_version("onnxruntime") == registry.get("onnxruntime").version()
    assert load_model(model).inputs[0].name == "x"
    made = lowered(runtime="openvino")
    for name, data in made.files.items():
        (tmp_path / name).write_bytes(data)
    opened = open_model(tmp_path / "model.xml")
    assert set(opened.files) == {"model.xml", "model.bin"}
    assert load_model(opened, 1).outputs[0].name == "y"


def test_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(UsageError, match="kind of model file"):
        open_model(tmp_path / "model.pth")
    with pytest.raises(RuntimeFailure, match="cannot read"):
        open_model(tmp_path / "none.onnx")
    with pytest.raises(EdgewrightError):
        open_model(tmp_path / "none.ewa")
