"""Small models, and what the tests ask of their files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from ai_edge_litert import schema_py_generated as schema
from edgewright.device_profiles.profile import DeviceProfile
from edgewright.ir.model import Model
from edgewright.runtimes.contract import Lowered
from edgewright.runtimes.litert.runtime import RUNTIME
from onnx import helper, numpy_helper

PROFILE = DeviceProfile("test", "test", "cpu", "x86_64", frozenset({"avx2"}), 1, 1, 1 << 30, ("litert",))
_KINDS = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
_TYPES = {code: name for name, code in vars(schema.TensorType).items() if not name.startswith("_")}
Arrays = Mapping[str, np.ndarray]


def onnx_model(
    nodes: Sequence[onnx.NodeProto], inputs: Arrays, outputs: Sequence[str], weights: Arrays | None = None, opset: int = 17
) -> onnx.ModelProto:
    """A model with inferred shapes whose inputs have the types and shapes of the given arrays."""

    def info(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)

    graph = helper.make_graph(
        list(nodes),
        "test",
        [info(name, array) for name, array in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return onnx.shape_inference.infer_shapes(made, strict_mode=True, data_prop=True)


def expected(model: onnx.ModelProto, inputs: Arrays) -> dict[str, np.ndarray]:
    """What ONNX Runtime answers, without its graph optimizations (they would merge roundings)."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def lowered(model: onnx.ModelProto) -> Lowered:
    return RUNTIME.lower(Model.from_bytes(model.SerializeToString()), PROFILE)


def answers(file: Lowered, inputs: Arrays) -> dict[str, np.ndarray]:
    executor = RUNTIME.load(file.files, file.entry, 1)
    try:
        return executor.run(inputs)
    finally:
        executor.close()


def assert_close(model: onnx.ModelProto, inputs: Arrays, tolerance: float = 1e-4) -> Counter[str]:
    """The file answers as ONNX Runtime does, with its names, types and shapes; gives the file's operators."""
    file = lowered(model)
    have, want = answers(file, inputs), expected(model, inputs)
    assert list(have) == list(want)
    for name, array in want.items():
        assert have[name].dtype == array.dtype
        assert have[name].shape == array.shape
        np.testing.assert_allclose(have[name], array, rtol=tolerance, atol=tolerance)
    return kinds(file)


def kinds(file: Lowered) -> Counter[str]:
    """How many operators of each kind the file has."""
    return Counter(kind for kind, _ in operators(file))


def int8_kinds(file: Lowered) -> Counter[str]:
    """How many operators of each kind read and make int8."""
    return Counter(kind for kind, types in operators(file) if set(types) == {"INT8"})


def operators(file: Lowered) -> list[tuple[str, tuple[str, str]]]:
    """Each operator's kind, and the types of its data input and of its output."""
    model = schema.ModelT.InitFromPackedBuf(file.files[file.entry], 0)
    graph = model.subgraphs[0]
    found = []
    for entry in graph.operators:
        kind = _KINDS[model.operatorCodes[entry.opcodeIndex].builtinCode]
        data = entry.inputs[2] if kind == "TRANSPOSE_CONV" else entry.inputs[0]
        found.append((kind, (_TYPES[graph.tensors[data].type], _TYPES[graph.tensors[entry.outputs[0]].type])))
    return found


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), list(outputs), name=f"{kind}_{outputs[0]}", **attributes)


def single(
    kind: str, inputs: Arrays, weights: Arrays | None = None, *, order: Sequence[str] = (), opset: int = 17, **attributes: Any
) -> onnx.ModelProto:
    """A model of one node that reads `order` (default: inputs, then weights) and makes `y`."""
    names = list(order) or [*inputs, *(weights or {})]
    return onnx_model([node(kind, names, ["y"], **attributes)], inputs, ["y"], weights, opset)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
