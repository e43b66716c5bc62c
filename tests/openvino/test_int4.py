"""int4 in OpenVINO's files: i4 constants under a Convert to i8 that the plugin folds, so that the kernels are those of int8."""

from __future__ import annotations

import re

import ml_dtypes
import numpy as np
import onnx
import pytest
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.runtimes.openvino.runtime import RUNTIME
from onnx import TensorProto, helper, numpy_helper

PROFILE = load("x86-64-vnni")


def model(kind: type, *, static: bool = True) -> Model:
    """Two convolutions, the second depthwise, with weights of `kind`."""
    rng = np.random.default_rng(4)
    held = {"s": np.float32(0.03), "z": np.uint8(120), "t": np.float32(0.05), "u": np.uint8(110)}
    nodes, value = [], "x"
    for name, shape, group in (("one", (16, 8, 3, 3), 1), ("two", (16, 1, 3, 3), 16)):
        if static:
            nodes.append(helper.make_node("QuantizeLinear", [value, "s", "z"], [f"{value}.q"], f"{name}.quantize"))
            nodes.append(helper.make_node("DequantizeLinear", [f"{value}.q", "s", "z"], [f"{value}.d"], f"{name}.dequantize"))
            value = f"{value}.d"
        held |= {
            f"{name}.w": rng.integers(-7, 8, shape).astype(kind),
            f"{name}.s": (0.01 + 0.01 * rng.random(16)).astype(np.float32),
        }
        nodes.append(
            helper.make_node("DequantizeLinear", [f"{name}.w", f"{name}.s"], [f"{name}.wd"], f"{name}.weights", axis=0)
        )
        nodes.append(helper.make_node("Conv", [value, f"{name}.wd"], [name], f"{name}.conv", group=group))
        value = name
    if static:
        nodes.append(helper.make_node("QuantizeLinear", [value, "t", "u"], ["y.q"]))
        nodes.append(helper.make_node("DequantizeLinear", ["y.q", "t", "u"], ["y"]))
    else:
        nodes.append(helper.make_node("Relu", [value], ["y"]))
    graph = helper.make_graph(
        nodes,
        "case",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 9, 9])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16, 5, 5])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in held.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return Model.from_bytes(onnx.shape_inference.infer_shapes(proto, strict_mode=True).SerializeToString())


@pytest.mark.parametrize("static", [True, False])
def test_int4_is_in_the_file(static: bool) -> None:
    narrow, wide = (RUNTIME.lower(model(kind, static=static), PROFILE) for kind in (ml_dtypes.int4, np.int8))
    kinds = re.findall(rb'element_type="(\w+)"', narrow.files["model.xml"])
    assert kinds.count(b"i4") == 2
    assert b"i8" not in kinds
    saved = (16 * 72 + 16 * 9) // 2
    assert len(wide.files["model.bin"]) - len(narrow.files["model.bin"]) >= saved


def test_its_kernels_are_those_of_int8() -> None:
    executor = RUNTIME.load(*files_of(model(ml_dtypes.int4)), 1)
    kernels = {
        info["layerType"].astype(str): info["runtimePrecision"].astype(str)
        for info in (op.get_rt_info() for op in executor.compiled.get_runtime_model().get_ordered_ops())
    }
    assert {kernels[kind].lower() for kind in kernels if "Convolution" in kind} <= {"i8", "u8"}
    assert "Convolution" in kernels
    assert "Convert" not in kernels


def files_of(given: Model):
    lowered = RUNTIME.lower(given, PROFILE)
    return lowered.files, lowered.entry
