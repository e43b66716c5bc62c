"""Whole models: no transposition inside, every wrapped convolution in int8, every step of the way exact."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgewright.ir.model import Model
from edgewright.optimizer.ingest.lean import lean
from edgewright.runtimes.litert.runtime import RUNTIME
from litert.build import PROFILE, assert_close, int8_kinds, kinds, lowered, node, normal, onnx_model
from litert.reference import walk
from litert.wrap import wrap

DATA = Path(os.environ.get("EDGEWRIGHT_DATA", Path(__file__).parents[3] / "shared" / "data"))
IMAGE = {"x": normal(1, 3, 16, 16)}
KERNELS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


class Net:
    """Adds layers with random weights one after the other."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}

    def add(self, kind: str, inputs: list[str], *weights: np.ndarray, **attributes: object) -> str:
        out = f"v{len(self.nodes)}"
        names = [f"{out}_w{index}" for index in range(len(weights))]
        self.weights.update(zip(names, weights, strict=True))
        self.nodes.append(node(kind, [*inputs, *names], [out], **attributes))
        return out

    def conv(self, x: str, given: int, made: int, size: int = 3, *, act: str = "Relu", **attributes: object) -> str:
        per_group = given // int(attributes.get("group", 1))  # type: ignore[call-overload]
        w = normal(made, per_group, size, size, seed=len(self.nodes)) / np.float32(np.sqrt(per_group * size * size))
        pads = {} if "auto_pad" in attributes else {"pads": [size // 2] * 4}
        x = self.add("Conv", [x], w, normal(made, seed=made) * np.float32(0.1), **pads, **attributes)
        if act == "Relu6":
            return self.add("Clip", [x], np.array(0, np.float32), np.array(6, np.float32))
        return self.add(act, [x]) if act else x

    def dense(self, x: str, given: int, made: int) -> str:
        return self.add("Gemm", [x], normal(made, given) / np.float32(np.sqrt(given)), normal(made), transB=1)

    def model(self, out: str) -> onnx.ModelProto:
        return onnx_model(self.nodes, IMAGE, [out], self.weights)


def residual(net: Net) -> str:
    x = net.conv("x", 3, 8, strides=[2, 2])
    x = net.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    y = net.conv(net.conv(x, 8, 8), 8, 8, act="")
    x = net.add("Relu", [net.add("Add", [x, y])])
    x = net.add("Flatten", [net.add("GlobalAveragePool", [x])])
    return net.dense(x, 8, 5)


def inverted_bottleneck(net: Net) -> str:
    x = net.conv("x", 3, 8, act="Relu6", strides=[2, 2])
    y = net.conv(x, 8, 16, 1, act="Relu6")
    y = net.conv(y, 16, 16, act="Relu6", group=16)
    x = net.add("Add", [x, net.conv(y, 16, 8, 1, act="")])
    x = net.add("ReduceMean", [x], axes=[2, 3], keepdims=0)
    return net.add("Softmax", [net.dense(x, 8, 5)])


def squeeze_and_excite(net: Net) -> str:
    x = net.conv("x", 3, 8, act="HardSwish")
    s = net.add("GlobalAveragePool", [x])
    s = net.add("HardSigmoid", [net.conv(net.conv(s, 8, 4, 1), 4, 8, 1, act="")], alpha=1 / 6, beta=0.5)
    x = net.conv(net.add("Mul", [s, x]), 8, 8, act="")
    x = net.add("Mul", [x, net.add("Sigmoid", [x])])
    return net.dense(net.add("Flatten", [net.add("GlobalAveragePool", [x])]), 8, 5)


def fire(net: Net) -> str:
    x = net.conv("x", 3, 8, strides=[2, 2])
    x = net.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    s = net.conv(x, 8, 4, 1)
    x = net.add("Concat", [net.conv(s, 4, 8, 1), net.conv(s, 4, 8)], axis=1)
    return net.add("Flatten", [net.add("GlobalAveragePool", [net.conv(x, 16, 5, 1)])])


def dense_block(net: Net) -> str:
    x = net.conv("x", 3, 8, act="")
    for channels in (8, 12):
        n = net.add("BatchNormalization", [x], *(np.abs(normal(channels, seed=seed)) for seed in range(4)))
        x = net.add("Concat", [x, net.conv(net.add("Relu", [n]), channels, 4, act="")], axis=1)
    x = net.add("AveragePool", [net.conv(x, 16, 8, 1)], kernel_shape=[2, 2], strides=[2, 2])
    return net.dense(net.add("Flatten", [net.add("GlobalAveragePool", [x])]), 8, 5)


def plain_stack(net: Net) -> str:
    x = net.conv("x", 3, 8)
    x = net.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = net.add("Flatten", [net.conv(x, 8, 8)])
    return net.dense(net.add("Relu", [net.dense(x, 512, 16)]), 16, 5)


def autoencoder(net: Net) -> str:
    x = net.conv("x", 3, 8, strides=[2, 2])
    x = net.conv(x, 8, 16, strides=[2, 2])
    x = net.add("ConvTranspose", [x], normal(16, 8, 2, 2), normal(8), strides=[2, 2])
    x = net.add("ConvTranspose", [net.add("Relu", [x])], normal(8, 4, 4, 4), normal(4), strides=[2, 2], pads=[1, 1, 1, 1])
    return net.add("Sigmoid", [net.conv(net.add("Relu", [x]), 4, 3, act="")])


NETS = [residual, inverted_bottleneck, squeeze_and_excite, fire, dense_block, plain_stack, autoencoder]


def built(make) -> onnx.ModelProto:
    net = Net()
    return net.model(make(net))


@pytest.mark.parametrize("make", NETS)
def test_float_nets(make):
    model = built(make)
    found = assert_close(model, IMAGE)
    outputs_are_maps = make is autoencoder
    assert found["TRANSPOSE"] == 1 + outputs_are_maps


@pytest.mark.parametrize("make", NETS)
def test_int8_nets(make):
    model = wrap(built(make), IMAGE)
    file = lowered(model)
    wanted = sum(entry.op_type in ("Conv", "ConvTranspose", "Gemm") for entry in model.graph.node)
    assert sum(int8_kinds(file)[kernel] for kernel in KERNELS) == wanted
    assert kinds(file)["TRANSPOSE"] == 1 + (make is autoencoder)
    for operator in walk(file.files[file.entry], IMAGE):
        assert operator.within_one >= 0.999 * operator.elements, operator


@pytest.mark.parametrize("make", NETS)
def test_equal_models_give_equal_files(make):
    first, second = (lowered(wrap(built(make), IMAGE)) for _ in range(2))
    assert first.files == second.files
    assert first.debug_map == second.debug_map


def test_every_operator_is_traced_to_its_node():
    model = built(residual)
    file = lowered(model)
    profile = RUNTIME.profile_operators(file.files, file.entry, 1, IMAGE, 2)
    nodes = {entry.name for entry in model.graph.node}
    assert {file.debug_map[name] for name, _, _ in profile} <= nodes
    assert Counter(kind for _, kind, _ in profile) == kinds(file)
    assert all(microseconds > 0 for _, _, microseconds in profile)


def test_support_tells_what_each_node_runs_in():
    model = wrap(built(squeeze_and_excite), IMAGE)
    report = RUNTIME.supports(Model.from_bytes(model.SerializeToString()), PROFILE)
    assert len(report) == len(model.graph.node)
    runs = {(entry.op_type, entry.runs) for entry in report}
    assert {("Conv", "int8"), ("Gemm", "int8"), ("HardSwish", "float32"), ("HardSigmoid", "float32")} <= runs
    assert not any(entry.runs == "no" for entry in report)
    relu = next(entry for entry in report if entry.op_type == "Relu")
    assert relu.reason == "done by Conv"


@pytest.mark.parametrize("path", ["kws/kws_ref_model_float32.tflite", "cifar10/pretrainedResnet.tflite"])
def test_trained_keras_models(path, tmp_path):
    if not (DATA / path).is_file():
        pytest.skip(f"{DATA / path} is not here; set EDGEWRIGHT_DATA")
    with lean():
        convert = pytest.importorskip("tf2onnx.convert")
    proto, _ = convert.from_tflite(str(DATA / path), opset=17, output_path=str(tmp_path / "model.onnx"))
    for value in (*proto.graph.input, *proto.graph.output):
        for size in value.type.tensor_type.shape.dim:
            if not size.dim_value:
                size.dim_value = 1
    shape = [size.dim_value for size in proto.graph.input[0].type.tensor_type.shape.dim]
    x = {proto.graph.input[0].name: normal(*shape)}
    proto = onnx.shape_inference.infer_shapes(proto)
    assert assert_close(proto, x)["TRANSPOSE"] == 0
