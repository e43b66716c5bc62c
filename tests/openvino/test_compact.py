"""The short XML is the same network: OpenVINO reads the same shapes, the same kernels, the same answers to the bit."""

from __future__ import annotations

import re

import numpy as np
import onnx
import openvino
import pytest
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.runtimes.openvino import lower as lowering
from edgewright.runtimes.openvino.compact import compact
from edgewright.runtimes.openvino.run import properties
from edgewright.runtimes.openvino.runtime import RUNTIME
from onnx import TensorProto, helper, numpy_helper

PROFILE = load("x86-64-vnni")
QUANTIZED = """
<ir_version: 10, opset_import: ["" : 21]>
case (float[1,4,6,6] x) => (float[1,3] y, float[1,4,6,6] "a & b")
<float s = {0.03}, uint8 z = {120}, int8[4,4,1,1] w = {7,-3,2,1,-5,9,4,-8,3,3,-2,6,5,-7,1,2},
 float[4] ws = {0.01,0.02,0.03,0.04},
 int32[4] b = {100,-200,300,-400}, float[4] bs = {0.0003,0.0006,0.0009,0.0012}, int8[3,4] v = {1,2,3,4,5,6,7,8,9,10,11,12},
 float vs = {0.02}, int32[3] c = {10,20,30}, float cs = {0.0006}>
{
    q = QuantizeLinear(x, s, z)
    d = DequantizeLinear(q, s, z)
    wd = DequantizeLinear<axis: int = 0>(w, ws)
    bd = DequantizeLinear<axis: int = 0>(b, bs)
    r = Conv(d, wd, bd)
    rq = QuantizeLinear(r, s, z)
    "a & b" = DequantizeLinear(rq, s, z)
    g = GlobalAveragePool("a & b")
    f = Flatten(g)
    fq = QuantizeLinear(f, s, z)
    fd = DequantizeLinear(fq, s, z)
    vd = DequantizeLinear(v, vs)
    cd = DequantizeLinear(c, cs)
    y = Gemm<transB: int = 1>(fd, vd, cd)
}
"""


def quantized() -> Model:
    proto = onnx.parser.parse_model(QUANTIZED)
    return Model.from_bytes(onnx.shape_inference.infer_shapes(proto, strict_mode=True).SerializeToString())


def recurrent() -> Model:
    rng = np.random.default_rng(1)
    graph = helper.make_graph(
        [helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=4)],
        "case",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, 1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [5, 1, 1, 4])],
        [
            numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
            for name, shape in (("w", (1, 16, 3)), ("r", (1, 16, 4)))
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return Model.from_bytes(proto.SerializeToString())


@pytest.fixture(params=[quantized, recurrent])
def texts(request, monkeypatch) -> tuple[bytes, bytes, bytes]:
    """XML as OpenVINO writes it, the short one, and the weights of both."""
    seen: list[bytes] = []
    monkeypatch.setattr(lowering, "compact", lambda text: seen.append(text) or compact(text))
    lowered = RUNTIME.lower(request.param(), PROFILE)
    return seen[0], lowered.files["model.xml"], lowered.files["model.bin"]


def read(text: bytes, weights: bytes):
    core = openvino.Core()
    found = core.read_model(model=text, weights=openvino.Tensor(np.frombuffer(weights, np.uint8).copy()))
    return found, core.compile_model(found, "CPU", properties(1))


def test_it_reads_back_as_the_same_network(texts) -> None:
    long, short, weights = texts
    (old, before), (new, after) = read(long, weights), read(short, weights)

    def shapes(network):
        ordered = network.get_ordered_ops()
        return [
            (op.get_type_name(), op.get_friendly_name(), [str(port.get_partial_shape()) for port in op.outputs()])
            for op in ordered
            if op.get_type_name() != "Constant"
        ]

    def kernels(compiled):
        info = [op.get_rt_info() for op in compiled.get_runtime_model().get_ordered_ops()]
        found = [(item["layerType"].astype(str), item["runtimePrecision"].astype(str)) for item in info]
        # Equal constants that were one layer from the start leave less to reshape.
        return [item for item in found if item[0] not in ("Const", "Reshape")]

    assert shapes(new) == shapes(old)
    assert sorted(kernels(after)) == sorted(kernels(before))
    rng = np.random.default_rng(2)
    for _ in range(5):
        x = rng.normal(size=list(old.inputs[0].shape)).astype(np.float32)
        for wanted, got in zip(before([x]).values(), after([x]).values(), strict=True):
            assert np.array_equal(got, wanted)
    assert [port.get_names() for port in new.outputs] == [port.get_names() for port in old.outputs]


def test_what_it_leaves_out(texts) -> None:
    long, short, _ = texts
    assert len(short) < 0.65 * len(long)
    assert b"<dim>" not in short
    assert b"rt_info" not in short
    constants = re.findall(rb'type="Const"[^>]*><data ([^/]*)/>', short)
    assert len(set(constants)) == len(constants)
    assert compact(short) == short


def test_biases_are_constants_in_float() -> None:
    lowered = RUNTIME.lower(quantized(), PROFILE)
    assert b"i32" not in lowered.files["model.xml"]
    wanted = (np.int32([100, -200, 300, -400]) * np.float32([0.0003, 0.0006, 0.0009, 0.0012])).astype(np.float32)
    assert wanted.tobytes() in lowered.files["model.bin"]
