from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.runtimes.openvino.runtime import RUNTIME
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 92


def test_channels_that_are_gathered_reach_the_convolution_behind() -> None:
    random = np.random.default_rng(0)
    weights = {
        "order": random.permutation(CHANNELS),
        "each": random.normal(0, 0.3, (CHANNELS, 1, 3, 3)).astype(np.float32),
        "all": random.normal(0, 0.1, (93, CHANNELS, 1, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["x", "order"], ["g"], axis=1),
        helper.make_node("Conv", ["g", "each"], ["d"], group=CHANNELS, pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Conv", ["d", "all"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "gathered",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, CHANNELS, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 93, 4, 4])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    data = onnx.shape_inference.infer_shapes(proto, strict_mode=True).SerializeToString()
    x = random.normal(size=(1, CHANNELS, 8, 8)).astype(np.float32)
    (expected,) = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    lowered = RUNTIME.lower(Model.from_bytes(data), load("x86-64-avx2"))
    executor = RUNTIME.load(lowered.files, lowered.entry, 1)
    try:
        found = executor.run({"x": x})["y"]
    finally:
        executor.close()
    np.testing.assert_allclose(found, expected, atol=1e-4)
