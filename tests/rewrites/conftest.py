from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from edgewright.device_profiles import loader
from edgewright.ir.model import Model
from edgewright.runtimes import registry
from numpy.typing import NDArray

Run = Callable[[Model, Mapping[str, NDArray[Any]]], list[NDArray[Any]]]
Build = Callable[..., Model]


@pytest.fixture(scope="session")
def run() -> Run:
    """Outputs of a model in ONNX Runtime without its optimizer."""

    def run_(model: Model, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(model.to_bytes(), options, providers=["CPUExecutionProvider"])
        return [np.asarray(value) for value in session.run(None, dict(inputs))]

    return run_


@pytest.fixture(scope="session")
def everywhere() -> Run:
    """First output of a model of fixed sizes in each runtime, as that runtime's lowered file gives it."""

    def run_(model: Model, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        profile = loader.load("x86-64-avx2")
        outputs = []
        for name in ("onnxruntime", "openvino", "litert"):
            runtime = registry.get(name)
            lowered = runtime.lower(model, profile)
            executor = runtime.load(lowered.files, lowered.entry, 1)
            try:
                outputs.append(np.asarray(next(iter(executor.run(inputs).values()))))
            finally:
                executor.close()
        return outputs

    return run_


@pytest.fixture(scope="session")
def build() -> Build:
    """Model of nodes (op type, inputs, outputs, attributes), weights by name, and inputs/outputs by name and shape."""

    def build_(
        nodes: Sequence[tuple[str, Sequence[str], Sequence[str], Mapping[str, Any]]],
        weights: Mapping[str, NDArray[Any]],
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Sequence[str],
        opset: int = 21,
        input_type: int = onnx.TensorProto.FLOAT,
        output_type: int = onnx.TensorProto.FLOAT,
    ) -> Model:
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node(kind, list(given), list(made), **attributes) for kind, given, made, attributes in nodes],
            "test",
            [onnx.helper.make_tensor_value_info(name, input_type, list(shape)) for name, shape in inputs.items()],
            [onnx.helper.make_tensor_value_info(name, output_type, None) for name in outputs],
            [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
        )
        proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
        return Model.from_bytes(proto.SerializeToString())

    return build_
