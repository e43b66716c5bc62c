"""Small networks with seeded weights, one for each way in which channels depend on each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from edgewright.ir.model import Model
from edgewright.optimizer.prune.places import Group, Groups
from onnx import helper, numpy_helper

Arrays = Mapping[str, np.ndarray]


class Net:
    """A graph that grows node by node; values are names, and sizes are known at once."""

    def __init__(self, seed: int = 0, **inputs: Sequence[int | str]) -> None:
        self.random = np.random.default_rng(seed)
        self.inputs = {name: list(shape) for name, shape in inputs.items()}
        self.weights: dict[str, np.ndarray] = {}
        self.nodes: list[onnx.NodeProto] = []

    def weight(self, *shape: int, low: float | None = None) -> str:
        """Normal numbers of a scale that keeps activations near 1, or uniform ones from `low` to low + 1."""
        name = f"w{len(self.weights)}"
        fan = max(int(np.prod(shape[1:])), 1)
        array = self.random.normal(0, fan**-0.5, shape) if low is None else self.random.uniform(low, low + 1, shape)
        self.weights[name] = array.astype(np.float32)
        return name

    def numbers(self, *values: int) -> str:
        """A constant of int64."""
        name = f"n{len(self.weights)}"
        self.weights[name] = np.array(values, np.int64)
        return name

    def add(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """A node; gives the name of its output, or a list of several."""
        names = [f"{kind.lower()}{len(self.nodes)}" + (f"_{place}" if outputs > 1 else "") for place in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=names[0], **attributes))
        return names[0] if outputs == 1 else names

    def conv(self, x: str, inputs: int, outputs: int, kernel: int = 3, group: int = 1, bias: bool = True) -> str:
        """A convolution that keeps the size."""
        weights = [self.weight(outputs, inputs // group, kernel, kernel), *([self.weight(outputs, low=-0.5)] if bias else [])]
        return self.add("Conv", x, *weights, group=group, pads=[kernel // 2] * 4)

    def norm(self, x: str, channels: int) -> str:
        """Batch normalization."""
        scale, bias = self.weight(channels, low=0.5), self.weight(channels, low=-0.5)
        return self.add("BatchNormalization", x, scale, bias, self.weight(channels, low=-0.5), self.weight(channels, low=0.5))

    def block(self, x: str, inputs: int, outputs: int, **options: Any) -> str:
        """Convolution, batch normalization, Relu."""
        return self.add("Relu", self.norm(self.conv(x, inputs, outputs, **options), outputs))

    def dense(self, x: str, inputs: int, outputs: int) -> str:
        """A product with a matrix, and a bias."""
        return self.add("Add", self.add("MatMul", x, self.weight(inputs, outputs)), self.weight(outputs, low=-0.5))

    def head(self, x: str, channels: int) -> str:
        """Global pooling and three scores."""
        flat = self.add("Flatten", self.add("GlobalAveragePool", x))
        return self.add("Gemm", flat, self.weight(3, channels), self.weight(3), transB=1)

    def model(self, *outputs: str, **shapes: Sequence[int]) -> Model:
        """The model, with every shape; `shapes` are those that ONNX does not infer."""
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in self.inputs.items()],
            [onnx.ValueInfoProto(name=name) for name in outputs],
            [numpy_helper.from_array(array, name) for name, array in self.weights.items()],
            value_info=[helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        made = onnx.shape_inference.infer_shapes(made, strict_mode=True, data_prop=True)
        return Model.from_bytes(made.SerializeToString())


def plain() -> Model:
    net = Net(x=[1, 3, 8, 8])
    return net.model(net.head(net.block(net.block("x", 3, 12), 12, 10), 10))


def free_batch() -> Model:
    net = Net(x=["batch", 3, 8, 8])
    y = net.block("x", 3, 12)
    flat = net.add("Reshape", y, net.numbers(-1, 12 * 64))
    return net.model(net.dense(net.add("Relu", net.dense(flat, 12 * 64, 9)), 9, 3))


def residual() -> Model:
    net = Net(x=[1, 3, 8, 8])
    y = net.block("x", 3, 8)
    y = net.add("Add", y, net.conv(net.block(y, 8, 6), 6, 8))
    y = net.add("Relu", net.add("Add", net.conv(y, 8, 8, kernel=1), net.conv(y, 8, 8)))
    return net.model(net.head(y, 8))


def fixed_partner() -> Model:
    net = Net(x=[1, 3, 8, 8])
    y = net.add("Add", net.conv(net.block("x", 3, 8), 8, 3), "x")
    return net.model(net.head(net.block(y, 3, 6), 6))


def densely_joined() -> Model:
    net = Net(x=[1, 3, 8, 8])
    a = net.block("x", 3, 6)
    b = net.block(a, 6, 4)
    ab = net.add("Concat", a, b, axis=1)
    c = net.conv(net.add("Relu", net.norm(ab, 10)), 10, 5)
    every = net.add("Concat", ab, c, "x", axis=1)
    return net.model(net.head(net.block(every, 18, 7), 7))


def separable() -> Model:
    net = Net(x=[1, 3, 8, 8])
    y = net.block("x", 3, 8)
    y = net.block(y, 8, 8, group=8)
    y = net.block(y, 8, 6, kernel=1)
    # Two outputs of each channel.
    y = net.add("Clip", net.block(y, 6, 12, group=6), net.weight(low=0.0), net.weight(low=5.0))
    return net.model(net.head(net.block(y, 12, 8, kernel=1), 8))


def grouped() -> Model:
    net = Net(x=[1, 3, 8, 8])
    y = net.block("x", 3, 12)
    y = net.block(y, 12, 18, group=3)
    return net.model(net.head(net.block(y, 18, 8), 8))


def grouped_behind_a_join() -> Model:
    net = Net(x=[1, 3, 8, 8])
    y = net.add("Concat", net.block("x", 3, 4), net.block("x", 3, 8), axis=1)
    return net.model(net.head(net.block(y, 12, 12, group=4), 12))


def shuffled_groups() -> Model:
    net = Net(x=[1, 3, 8, 8])
    y = net.block(net.block("x", 3, 12), 12, 12, group=2)
    return net.model(net.head(net.block(_shuffle(net, y, 2, 12), 12, 12, group=2), 12))


def shuffled_halves() -> Model:
    net = Net(x=[1, 3, 8, 8])
    left, right = net.block("x", 3, 6), net.block("x", 3, 6)
    for _ in range(2):
        y = _shuffle(net, net.add("Concat", left, right, axis=1), 2, 12)
        left, right = net.add("Split", y, axis=1, num_outputs=2, outputs=2)
        right = net.block(net.norm(net.conv(right, 6, 6, group=6), 6), 6, 6)
    return net.model(net.head(net.add("Concat", left, right, axis=1), 12))


def shuffled_then_halved() -> Model:
    net = Net(x=[1, 3, 8, 8])
    y = _shuffle(net, net.block("x", 3, 12), 2, 12)
    left, right = net.add("Split", y, axis=1, num_outputs=2, outputs=2)
    return net.model(net.head(net.add("Concat", net.block(left, 6, 4), net.block(right, 6, 6), axis=1), 10))


def _shuffle(net: Net, x: str, groups: int, channels: int) -> str:
    y = net.add("Reshape", x, net.numbers(1, groups, channels // groups, 8, 8))
    return net.add("Reshape", net.add("Transpose", y, perm=[0, 2, 1, 3, 4]), net.numbers(1, channels, 8, 8))


def squeeze_excite() -> Model:
    net = Net(x=[1, 3, 8, 8])
    y = net.block("x", 3, 10)
    gate = net.add("Relu", net.conv(net.add("GlobalAveragePool", y), 10, 4, kernel=1))
    gate = net.add("HardSigmoid", net.conv(gate, 4, 10, kernel=1))
    return net.model(net.head(net.add("Mul", y, gate), 10))


def flattened() -> Model:
    net = Net(x=[1, 2, 6, 6])
    y = net.add("MaxPool", net.block("x", 2, 8), kernel_shape=[2, 2], strides=[2, 2])
    y = net.add("Gemm", net.add("Flatten", y), net.weight(10, 72), net.weight(10), transB=1)
    return net.model(net.dense(net.add("Tanh", y), 10, 3))


def channels_last() -> Model:
    net = Net(x=[1, 8, 8, 3])
    y = net.block(net.add("Transpose", "x", perm=[0, 3, 1, 2]), 3, 8)
    y = net.dense(net.add("Transpose", y, perm=[0, 2, 3, 1]), 8, 6)
    y = net.add("Gelu", y)
    y = net.add("ReduceMean", y, net.numbers(1, 2), keepdims=0)
    return net.model(net.dense(y, 6, 3))


def transposed() -> Model:
    net = Net(x=[1, 3, 4, 4])
    y = net.block("x", 3, 8)
    y = net.add("ConvTranspose", y, net.weight(8, 6, 2, 2), net.weight(6), strides=[2, 2])
    y = net.add("ConvTranspose", net.add("Relu", y), net.weight(6, 1, 3, 3), net.weight(6), group=6, pads=[1] * 4)
    y = net.add("ConvTranspose", net.add("Relu", y), net.weight(6, 4, 3, 3), net.weight(8), group=2, pads=[1] * 4)
    return net.model(net.head(net.block(y, 8, 5), 5))


def gated() -> Model:
    net = Net(x=[1, 3, 8, 8])
    a, b = net.add("Split", net.conv("x", 3, 12), net.numbers(6, 6), axis=1, outputs=2)
    return net.model(net.head(net.block(net.add("Mul", a, net.add("Sigmoid", b)), 6, 5), 5))


def cut_up() -> Model:
    net = Net(x=[1, 3, 8, 8])
    y = net.block("x", 3, 12)
    first = net.add("Slice", y, net.numbers(0), net.numbers(5), net.numbers(1))
    last = net.add("Slice", y, net.numbers(-1), net.numbers(-5), net.numbers(1), net.numbers(-1))
    some = net.add("Gather", y, net.numbers(7, 0, 5, 5), axis=1)
    every = net.add("Concat", first, last, some, net.add("Tile", first, net.numbers(1, 2, 1, 1)), axis=1)
    return net.model(net.head(net.block(every, 23, 6), 6))


def padded_channels() -> Model:
    net = Net(x=[1, 3, 8, 8])
    y = net.block("x", 3, 6)
    wide = net.add("Pad", net.add("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2]), net.numbers(0, 2, 0, 0, 0, 2, 0, 0))
    deep = net.add("MaxPool", net.block(y, 6, 10), kernel_shape=[2, 2], strides=[2, 2])
    return net.model(net.head(net.add("Relu", net.add("Add", wide, net.conv(deep, 10, 10))), 10))


def attention() -> Model:
    net = Net(x=[1, 6, 5])
    y = net.dense("x", 5, 16)
    y = _layer_norm(net, net.add("Add", y, _attend(net, y, 16, 4)), 16)
    wide = net.add("Gelu", net.dense(y, 16, 24))
    y = _layer_norm(net, net.add("Add", y, net.dense(wide, 24, 16)), 16)
    return net.model(net.dense(net.add("ReduceMean", y, net.numbers(1), keepdims=0), 16, 3))


def _attend(net: Net, x: str, width: int, heads: int) -> str:
    size = width // heads
    shape = net.numbers(1, 6, heads, size)
    q, k, v = (net.add("Reshape", net.dense(x, width, width), shape) for _ in range(3))
    q, v = (net.add("Transpose", part, perm=[0, 2, 1, 3]) for part in (q, v))
    scores = net.add("MatMul", q, net.add("Transpose", k, perm=[0, 2, 3, 1]))
    net.weights["scale"] = np.array(size**-0.5, np.float32)
    weights = net.add("Softmax", net.add("Mul", scores, "scale"), axis=-1)
    y = net.add("Transpose", net.add("MatMul", weights, v), perm=[0, 2, 1, 3])
    return net.dense(net.add("Reshape", y, net.numbers(1, 6, width)), width, width)


def _layer_norm(net: Net, x: str, width: int) -> str:
    return net.add("LayerNormalization", x, net.weight(width, low=0.5), net.weight(width, low=-0.5), axis=-1)


def fused_attention() -> Model:
    """As torch writes it: one product for queries, keys and values, and a token that stands for the class."""
    net = Net(x=["batch", 6, 5])
    y = net.add("Add", net.dense("x", 5, 12), net.weight(1, 6, 12))
    start = net.add("Shape", "x", start=0, end=1)
    token = net.add("Expand", net.weight(1, 1, 12), net.add("Concat", start, net.numbers(1, 1), axis=0))
    y = net.add("Concat", token, y, axis=1)
    qkv = net.add("Reshape", net.dense(_layer_norm(net, y, 12), 12, 36), net.numbers(-1, 7, 3, 3, 4))
    qkv = net.add("Transpose", qkv, perm=[2, 0, 3, 1, 4])
    indices = []
    for place in range(3):
        net.weights[f"i{place}"] = np.array(place, np.int64)
        indices.append(net.add("Gather", qkv, f"i{place}", axis=0))
    q, k, v = indices
    scores = net.add("MatMul", q, net.add("Transpose", k, perm=[0, 1, 3, 2]))
    mixed = net.add("MatMul", net.add("Softmax", scores, axis=-1), v)
    mixed = net.add("Reshape", net.add("Transpose", mixed, perm=[0, 2, 1, 3]), net.numbers(-1, 7, 12))
    y = net.add("Add", y, net.dense(mixed, 12, 12))
    first = net.add("Gather", y, "i0", axis=1)
    return net.model(net.dense(first, 12, 3))


def rotary_attention() -> Model:
    """Heads whose halves are turned by angles, so that a constant lies along the width of every head."""
    net = Net(x=[1, 6, 5])
    y = net.dense("x", 5, 16)
    shape = net.numbers(1, 6, 4, 4)
    cos, sin = net.weight(6, 4, low=0.0), net.weight(6, 4, low=0.0)
    turned = []
    for _ in range(2):
        part = net.add("Transpose", net.add("Reshape", net.dense(y, 16, 16), shape), perm=[0, 2, 1, 3])
        a, b = net.add("Split", part, axis=3, num_outputs=2, outputs=2)
        other = net.add("Concat", net.add("Neg", b), a, axis=3)
        turned.append(net.add("Add", net.add("Mul", part, cos), net.add("Mul", other, sin)))
    v = net.add("Transpose", net.add("Reshape", net.dense(y, 16, 16), shape), perm=[0, 2, 1, 3])
    scores = net.add("MatMul", turned[0], net.add("Transpose", turned[1], perm=[0, 1, 3, 2]))
    mixed = net.add("MatMul", net.add("Softmax", scores, axis=-1), v)
    mixed = net.add("Reshape", net.add("Transpose", mixed, perm=[0, 2, 1, 3]), net.numbers(1, 6, 16))
    y = net.add("ReduceMean", net.dense(mixed, 16, 8), net.numbers(1), keepdims=0)
    return net.model(net.dense(net.add("Relu", y), 8, 3))


def group_normalized() -> Model:
    """As torch's exporter writes a GroupNorm: each group is an instance."""
    net = Net(x=[1, 3, 8, 8])
    y = net.conv("x", 3, 12)
    parts = net.add("Reshape", y, net.numbers(0, 3, -1))
    net.weights["ones"], net.weights["zeros"] = np.ones(3, np.float32), np.zeros(3, np.float32)
    parts = net.add("InstanceNormalization", parts, "ones", "zeros")
    y = net.add("Reshape", parts, net.numbers(1, 12, 8, 8))
    y = net.add("Add", net.add("Mul", y, net.weight(12, 1, 1, low=0.5)), net.weight(12, 1, 1, low=-0.5))
    return net.model(net.head(net.block(net.add("Relu", y), 12, 6), 6))


def normalized_in_all_ways() -> Model:
    net = Net(x=[1, 3, 8, 8])
    y = net.conv("x", 3, 12)
    grouped = net.add("GroupNormalization", y, net.weight(12, low=0.5), net.weight(12, low=-0.5), num_groups=2)
    y = net.add("InstanceNormalization", net.conv(grouped, 12, 6), net.weight(6, low=0.5), net.weight(6, low=-0.5))
    y = net.add("LpNormalization", net.conv(y, 6, 5), axis=1)
    return net.model(net.head(net.add("PRelu", y, net.weight(5, 1, 1, low=0.0)), 5), **{grouped: [1, 12, 8, 8]})


def seen_over_channels() -> Model:
    net = Net(x=[1, 3, 8, 8])
    y = net.block("x", 3, 8)
    parts = [net.add(kind, y, net.numbers(1), keepdims=1) for kind in ("ReduceMean", "ReduceMax", "ReduceL2", "ReduceMin")]
    gate = net.add("Sigmoid", net.conv(net.add("Concat", *parts, axis=1), 4, 1))
    return net.model(net.head(net.add("Mul", y, gate), 8))


def rearranged() -> Model:
    net = Net(x=[1, 3, 4, 4])
    y = net.add("DepthToSpace", net.block("x", 3, 24), blocksize=2, mode="CRD")
    y = net.add("DepthToSpace", net.block(y, 6, 20), blocksize=2)
    y = net.add("SpaceToDepth", y, blocksize=4)
    net.weights["roi"] = np.zeros(0, np.float32)
    y = net.add("Resize", net.block(y, 80, 6), "", "", net.numbers(1, 6, 8, 8), mode="nearest")
    return net.model(net.head(net.block(y, 6, 5), 5))


def _recurrent(kind: str, gates: int, states: int) -> Model:
    net = Net(x=[7, 1, 5])
    names = []
    for inputs, directions, mode in ((5, 2, "bidirectional"), (16, 1, "forward")):
        weights = [net.weight(directions, gates * 8, inputs), net.weight(directions, gates * 8, 8)]
        bias = net.weight(directions, 2 * gates * 8, low=-0.5)
        first = [net.weight(directions, 1, 8) for _ in range(states)] if directions == 1 else []
        x = names[-1] if names else "x"
        y = net.add(kind, x, *weights, bias, "", *first, hidden_size=8, direction=mode, outputs=2)[0]
        y = net.add("Transpose", y, perm=[0, 2, 1, 3])
        names.append(net.add("Reshape", y, net.numbers(7, 1, directions * 8)))
    last = net.add("Gather", names[-1], net.numbers(6), axis=0)
    return net.model(net.dense(net.add("Reshape", last, net.numbers(1, 8)), 8, 3))


def lstm() -> Model:
    return _recurrent("LSTM", 4, 2)


def gru() -> Model:
    return _recurrent("GRU", 3, 1)


def rnn() -> Model:
    return _recurrent("RNN", 1, 1)


def embedded() -> Model:
    net = Net(x=[1, 6])
    ids = net.add("Cast", "x", to=onnx.TensorProto.INT64)
    y = net.add("Add", net.add("Gather", net.weight(20, 10), ids, axis=0), net.weight(6, 10))
    y = _layer_norm(net, y, 10)
    y = net.add(
        "ReduceMax", net.add("Where", net.add("Greater", y, net.weight(10)), y, net.weight(1)), net.numbers(1), keepdims=0
    )
    return net.model(net.dense(y, 10, 3))


def summed_by_letters() -> Model:
    net = Net(x=[1, 6, 5])
    y = net.add("Relu", net.add("Einsum", "x", net.weight(5, 8), equation="btc,cd->bdt"))
    z = net.add("Einsum", y, y, equation="bdt,bds->bts")
    y = net.add("Einsum", z, net.add("Einsum", y, net.weight(8, 7), equation="bdt,de->bte"), equation="bts,bse->bte")
    return net.model(net.dense(net.add("ReduceSum", y, net.numbers(1), keepdims=0), 7, 3))


NETS: Mapping[str, Callable[[], Model]] = {
    make.__name__: make
    for make in (
        plain, free_batch, residual, fixed_partner, densely_joined, separable, grouped, grouped_behind_a_join,
        shuffled_groups, shuffled_halves, shuffled_then_halved, squeeze_excite, flattened, channels_last, transposed, gated,
        cut_up, padded_channels, attention, fused_attention, rotary_attention, group_normalized, normalized_in_all_ways,
        seen_over_channels, rearranged, lstm, gru, rnn, embedded, summed_by_letters,
    )
}  # fmt: skip


def inputs_of(model: Model, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs, two samples where the batch is free; token numbers where a network wants them."""
    random = np.random.default_rng(seed)
    shapes = {spec.name: [2 if size is None else size for size in spec.shape] for spec in model.inputs}
    if any(node.op_type == "Cast" for node in model.graph):
        return {name: random.integers(0, 20, shape).astype(np.float32) for name, shape in shapes.items()}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def answers(model: Model, inputs: Arrays) -> list[np.ndarray]:
    """What ONNX Runtime says, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.to_bytes(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(value) for value in session.run(None, dict(inputs))]


def random_keep(groups: Groups, random: np.random.Generator, share: float | None = None) -> dict[str, list[int]]:
    """Units to keep of every group: a share, or as many as it falls; as many in each partition."""
    return {group.name: _random_units(group, random, share) for group in groups.groups}


def _random_units(group: Group, random: np.random.Generator, share: float | None) -> list[int]:
    partitions = np.zeros(group.units, np.int64) if group.partitions is None else group.partitions
    parts = [np.flatnonzero(partitions == part) for part in np.unique(partitions)]
    size = len(parts[0])
    count = int(random.integers(1, size + 1)) if share is None else max(1, round(share * size))
    return sorted(int(unit) for part in parts for unit in random.choice(part, count, replace=False))
