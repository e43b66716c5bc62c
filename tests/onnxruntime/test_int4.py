"""int4 in an .onnx file: integer kernels after a Cast that is done at load, floats where only weights are stored so."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.runtimes.bench.batches import example_inputs
from edgewright.runtimes.onnxruntime.runtime import RUNTIME
from onnx import TensorProto, helper, numpy_helper

PROFILE = load("x86-64-vnni")


def model(*, static: bool, per_channel: bool = True, kind: type = ml_dtypes.int4) -> Model:
    """Conv, Flatten and Gemm with weights of `kind`; `static` quantizes what they read too."""
    rng = np.random.default_rng(2)
    held = {"s": np.float32(0.03), "z": np.uint8(120), "t": np.float32(0.05), "u": np.uint8(110)}
    nodes = []

    def op(op_type: str, inputs: list[str], made: str, **attributes: object) -> str:
        nodes.append(helper.make_node(op_type, inputs, [made], name=f"node.{made}", **attributes))
        return made

    def weights(name: str, *shape: int) -> str:
        count = (shape[0],) if per_channel else ()
        held.update({f"{name}.w": rng.integers(-7, 8, shape).astype(kind), f"{name}.z": np.zeros(count, kind)})
        held[f"{name}.s"] = (0.02 + 0.02 * rng.random(count)).astype(np.float32)
        axis = {"axis": 0} if per_channel else {}
        return op("DequantizeLinear", [f"{name}.w", f"{name}.s", f"{name}.z"], f"{name}.d", **axis)

    def around(value: str, scale: str, zero: str) -> str:
        if not static:
            return value
        integers = op("QuantizeLinear", [value, scale, zero], f"{value}.q")
        return op("DequantizeLinear", [integers, scale, zero], f"{value}.d")

    x = op("Conv", [around("x", "s", "z"), weights("conv", 16, 8, 3, 3)], "c")
    x = op("Flatten", [around(x, "t", "u")], "f")
    op("Gemm", [around(x, "t", "u"), weights("gemm", 10, 256)], "y", transB=1)
    graph = helper.make_graph(
        nodes,
        "case",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in held.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return Model.from_bytes(onnx.shape_inference.infer_shapes(proto, strict_mode=True).SerializeToString())


def kernels(lowered) -> set[str]:
    executor = RUNTIME.load(lowered.files, lowered.entry, 1)
    timed = RUNTIME.profile_operators(lowered.files, lowered.entry, 1, example_inputs(executor), 1)
    return {kind for _, kind, _ in timed}


@pytest.mark.parametrize("per_channel", [True, False])
def test_int4_is_in_the_file_and_int8_in_the_kernels(per_channel: bool) -> None:
    lowered = RUNTIME.lower(model(static=True, per_channel=per_channel), PROFILE)
    proto = onnx.ModelProto.FromString(lowered.files[lowered.entry])
    stored = {entry.data_type: len(entry.raw_data) for entry in proto.graph.initializer if np.prod(entry.dims) > 64}
    assert stored[TensorProto.INT4] in (16 * 72 // 2, 10 * 256 // 2)
    assert TensorProto.INT8 not in stored
    assert kernels(lowered) >= {"QLinearConv", "QGemm"}
    assert not kernels(lowered) & {"Conv", "Gemm", "FusedGemm", "Cast", "DequantizeLinear"}


def test_weights_alone_are_widened_once_and_not_in_every_run() -> None:
    lowered = RUNTIME.lower(model(static=False), PROFILE)
    assert not kernels(lowered) & {"Cast", "DequantizeLinear", "QuantizeLinear"}


def test_int4_is_half_of_int8() -> None:
    sizes = [RUNTIME.lower(model(static=True, kind=kind), PROFILE).size_bytes for kind in (ml_dtypes.int4, np.int8)]
    saved = (16 * 72 + 10 * 256) // 2
    assert sizes[1] - sizes[0] > 0.9 * saved
