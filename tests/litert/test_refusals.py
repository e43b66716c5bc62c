"""What cannot be lowered, loaded or run says so in one sentence."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from edgewright.core.errors import LoweringError, RuntimeFailure
from edgewright.ir.model import Model
from edgewright.runtimes.litert.runtime import RUNTIME
from litert.build import PROFILE, lowered, node, normal, onnx_model, single
from litert.wrap import wrap
from onnx import helper, numpy_helper

X = normal(1, 4, 6, 6)


def i(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


REFUSED = [
    (single("Conv", {"x": normal(1, 2, 4, 4, 4)}, {"w": normal(2, 2, 3, 3, 3)}), "rank 5"),
    (single("Conv", {"x": X, "w": normal(2, 4, 3, 3)}), "weights are not constant"),
    (single("NonZero", {"x": X}), "no kernel for it"),
    (single("MaxPool", {"x": X}, kernel_shape=[2, 2], dilations=[2, 2]), "dilated"),
    (single("MaxPool", {"x": normal(1, 2, 4, 4, 4)}, kernel_shape=[2, 2, 2]), "rank 5"),
    (single("Pad", {"x": X}, {"p": i(0, 0, -1, 0, 0, 0, 0, 0)}), "negative"),
    (single("Pad", {"x": X}, {"p": i(0, 0, 1, 0, 0, 0, 0, 0)}, mode="edge"), "'edge'"),
    (single("Resize", {"x": X}, {"s": np.array([1, 1, 2, 2], np.float32)}, order=["x", "", "s"], mode="cubic"), "'cubic'"),
    (single("Einsum", {"x": normal(3, 3)}, equation="ii->i"), "plain product"),
    (single("LpNormalization", {"x": X}, p=1), "p is not 2"),
    (single("LRN", {"x": X}, size=4), "even"),
    (single("Mod", {"x": X, "b": X}, fmod=1), "fmod"),
    (single("Slice", {"x": X}, {"s": i(3), "e": i(1), "a": i(2)}), "empty"),
    (single("Clip", {"x": X, "l": np.array(0, np.float32)}), "bounds are not constant"),
    (single("PRelu", {"x": X, "s": X}), "slopes are not constant"),
    (single("GatherND", {"x": X}, {"j": np.zeros((1, 1), np.int64)}, batch_dims=1), "batch axes"),
    (single("ArgMax", {"x": X}, select_last_index=1), "last index"),
]


@pytest.mark.parametrize(("model", "why"), REFUSED, ids=lambda case: case if isinstance(case, str) else None)
def test_lowering_names_the_node_and_the_reason(model, why):
    with pytest.raises(LoweringError, match=why) as caught:
        lowered(model)
    entry = model.graph.node[-1]
    assert entry.op_type in str(caught.value)
    assert entry.name in str(caught.value)
    report = RUNTIME.supports(Model.from_bytes(model.SerializeToString()), PROFILE)
    assert [found.runs for found in report] == ["no"]
    assert report[0].reason == str(caught.value)


def test_the_report_goes_on_behind_what_cannot_run():
    model = onnx_model([node("NonZero", "x", "n"), node("Relu", "x", "y")], {"x": X}, ["n", "y"])
    report = RUNTIME.supports(Model.from_bytes(model.SerializeToString()), PROFILE)
    assert [(found.op_type, found.runs) for found in report] == [("NonZero", "no"), ("Relu", "float32")]


def test_foreign_domains_and_control_flow():
    foreign = onnx_model([node("Relu", "x", "y")], {"x": X}, ["y"])
    foreign.graph.node[0].domain = "com.example"
    foreign.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(LoweringError, match=r"com\.example"):
        lowered(foreign)
    branch = helper.make_graph([node("Relu", "x", "z")], "branch", [], [helper.make_tensor_value_info("z", 1, X.shape)])
    choice = onnx_model([node("If", "c", "y", then_branch=branch, else_branch=branch)], {"x": X, "c": np.array(True)}, ["y"])
    with pytest.raises(LoweringError, match="graph of its own"):
        lowered(choice)


def test_free_sizes_and_foreign_types():
    free = onnx_model([node("Relu", "x", "y")], {"x": X}, ["y"])
    free.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    with pytest.raises(LoweringError, match="not fixed"):
        lowered(free)
    double = onnx_model([node("Relu", "x", "y")], {"x": X.astype(np.float64)}, ["y"])
    with pytest.raises(LoweringError, match="float64"):
        lowered(double)


def test_old_operator_sets_are_canonicalized_first():
    with pytest.raises(LoweringError, match="operator set 11"):
        lowered(onnx_model([node("Softmax", "x", "y")], {"x": X}, ["y"], opset=11))


def wrapped_conv() -> onnx.ModelProto:
    return wrap(single("Conv", {"x": X}, {"w": normal(4, 4, 3, 3)}), {"x": X})


def test_activations_quantized_per_channel():
    model = wrapped_conv()
    for entry in model.graph.initializer:
        if entry.name in ("x/scale", "x/zero"):
            array = numpy_helper.to_array(entry)
            entry.CopyFrom(numpy_helper.from_array(np.repeat(array, 4), entry.name))
    with pytest.raises(LoweringError, match="per tensor"):
        lowered(model)


def test_integers_read_by_another_scale():
    model = wrapped_conv()
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "other"))
    for entry in model.graph.node:
        if entry.output[0] == "x/read":
            entry.input[1] = "other"
    with pytest.raises(LoweringError, match="another scale"):
        lowered(model)


def test_files_that_do_not_load():
    file = lowered(single("Relu", {"x": X}))
    for data in (b"", b"not a model", file.files[file.entry][:100]):
        with pytest.raises(RuntimeFailure, match="cannot load"):
            RUNTIME.load({"model.tflite": data}, "model.tflite", 1)
    with pytest.raises(RuntimeFailure, match="unknown model file"):
        RUNTIME.load(file.files, "other.tflite", 1)
    with pytest.raises(RuntimeFailure, match="from 1 to 1024"):
        RUNTIME.load(file.files, file.entry, 0)


def test_inputs_that_do_not_fit():
    file = lowered(single("Relu", {"x": X}))
    executor = RUNTIME.load(file.files, file.entry, 1)
    assert executor.inputs[0].shape == X.shape
    with pytest.raises(RuntimeFailure, match="'x' is missing"):
        executor.run({})
    with pytest.raises(RuntimeFailure, match="convert it to float32"):
        executor.run({"x": X.astype(np.float64)})
    with pytest.raises(RuntimeFailure, match="the file wants"):
        executor.run({"x": X[0]})
    executor.close()
    with pytest.raises(RuntimeFailure, match="closed"):
        executor.run({"x": X})


def test_profiling_needs_runs():
    file = lowered(single("Relu", {"x": X}))
    with pytest.raises(RuntimeFailure, match="at least one"):
        RUNTIME.profile_operators(file.files, file.entry, 1, {"x": X}, 0)
