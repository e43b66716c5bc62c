"""int4 weights in every runtime: bytes, the same answers as int8 of the same integers or not, time beside it.

python -m benchmarks.int4 [--rounds 30]

The networks have the shapes of the headline's references and random weights: bytes, kernels and exactness do not need others.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import onnx
import onnx_ir
from edgewright.calibration.bind import bind
from edgewright.calibration.collect import collect
from edgewright.calibration.dataset import Split
from edgewright.calibration.opening import open_dataset
from edgewright.device_profiles.loader import load
from edgewright.device_profiles.profile import DeviceProfile
from edgewright.ir.model import Model, initializer
from edgewright.optimizer.quantize.quantize import Quantize, QuantizeNeeds
from edgewright.runtimes import registry
from edgewright.runtimes.bench.compare import compare
from edgewright.runtimes.contract import Lowered, Runtime
from onnx import TensorProto, helper, numpy_helper

_SAMPLES = 32
_WARM_UP_S = 0.2


@dataclass
class Network:
    """A float network, layer by layer; `x` is the value that the next layer reads."""

    shape: tuple[int, ...]
    x: str = "x"
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    held: dict[str, np.ndarray] = field(default_factory=dict)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Append an operator that reads `x` and `inputs`."""
        made = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.x, *inputs], [made], name=f"{kind}:{made}", **attributes))
        self.x = made
        return made

    def layer(self, kind: str, *shape: int, relu: bool = True, **attributes: object) -> None:
        """A layer with weights of `shape` and a bias."""
        name = f"w{len(self.held)}"
        fan = int(np.prod(shape[1:]))
        self.held[name] = self.rng.normal(0, np.sqrt(2 / fan), shape).astype(np.float32)
        self.held[f"{name}.bias"] = self.rng.normal(0, 0.1, shape[0]).astype(np.float32)
        self.op(kind, name, f"{name}.bias", **attributes)
        if relu:
            self.op("Relu")

    def conv(self, *shape: int, relu: bool = True, **attributes: object) -> None:
        """A convolution with weights of `shape`."""
        self.layer("Conv", *shape, relu=relu, **attributes)

    def dense(self, outputs: int, inputs: int, *, relu: bool = True) -> None:
        """A matrix and a bias."""
        self.layer("Gemm", outputs, inputs, relu=relu, transB=1)

    def model(self, result: tuple[int, ...]) -> Model:
        """What was appended, as a model."""
        self.nodes[-1].output[0] = "y"
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, result)],
            [numpy_helper.from_array(array, name) for name, array in self.held.items()],
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        return Model.from_bytes(onnx.shape_inference.infer_shapes(proto, strict_mode=True).SerializeToString())


def lenet5() -> Model:
    """62 thousand parameters, of which 58 in two matrices."""
    n = Network((1, 1, 28, 28))
    n.conv(6, 1, 5, 5, pads=[2] * 4)
    n.op("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    n.conv(16, 6, 5, 5)
    n.op("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    n.op("Flatten")
    n.dense(120, 400)
    n.dense(84, 120)
    n.dense(10, 84, relu=False)
    return n.model((1, 10))


def perceptron(*sizes: int) -> Model:
    """Matrices in a row."""
    n = Network((1, sizes[0]))
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        n.dense(outputs, inputs, relu=index < len(sizes) - 2)
    return n.model((1, sizes[-1]))


def ds_cnn(width: int = 64, blocks: int = 4) -> Model:
    """Depthwise-separable blocks, as keyword spotters have them."""
    n = Network((1, 1, 49, 10))
    n.conv(width, 1, 10, 4, strides=[2, 2], pads=[4, 1, 5, 1])
    for _ in range(blocks):
        n.conv(width, 1, 3, 3, group=width, pads=[1] * 4)
        n.conv(width, width, 1, 1)
    n.op("GlobalAveragePool")
    n.op("Flatten")
    n.dense(10, width, relu=False)
    return n.model((1, 10))


def resnet20() -> Model:
    """Three stages of three residual blocks, 16 to 64 channels."""
    n = Network((1, 3, 32, 32))
    n.conv(16, 3, 3, 3, pads=[1] * 4)
    width = 16
    for wide in (16, 32, 64):
        for block in range(3):
            stride = 2 if block == 0 and wide > 16 else 1
            before = n.x
            n.conv(wide, width, 3, 3, pads=[1] * 4, strides=[stride] * 2)
            n.conv(wide, wide, 3, 3, pads=[1] * 4, relu=False)
            after, n.x = n.x, before
            if stride > 1:
                n.conv(wide, width, 1, 1, strides=[2, 2], relu=False)
            n.op("Add", after)
            n.op("Relu")
            width = wide
    n.op("GlobalAveragePool")
    n.op("Flatten")
    n.dense(10, 64, relu=False)
    return n.model((1, 10))


NETWORKS: Mapping[str, Callable[[], Model]] = {
    "LeNet-5": lenet5,
    "Adult 64-32": lambda: perceptron(108, 64, 32, 2),
    "autoencoder": lambda: perceptron(784, 128, 32, 8, 32, 128, 784),
    "DS-CNN": ds_cnn,
    "ResNet-20": resnet20,
}


def in_int8(model: Model) -> Model:
    """The same integers, held in int8."""
    copy = model.clone()
    for value in list(copy.graph.initializers.values()):
        if value.dtype == onnx_ir.DataType.INT4 and value.const_value is not None:
            wide = initializer(f"{value.name}/int8", value.const_value.numpy().astype(np.int8))
            copy.graph.register_initializer(wide)
            for user, index in list(value.uses()):
                user.replace_input_with(index, wide)
    return copy


def answers(runtime: Runtime, lowered: Lowered, data: np.ndarray) -> np.ndarray:
    """Of every sample."""
    executor = runtime.load(lowered.files, lowered.entry, 1)
    return np.concatenate([executor.run({"x": row[None]})["y"] for row in data])


def measure(runtime: Runtime, profile: DeviceProfile, model: Model, rounds: int) -> list[str]:
    """The table's cells after the network's and the runtime's name."""
    shape = model.inputs[0].shape
    data = np.abs(np.random.default_rng(1).normal(size=(_SAMPLES, *map(int, shape[1:])))).astype(np.float32)  # type: ignore[arg-type]
    split = Split("calib", bind(open_dataset({"x": data}), model.inputs), tuple(range(_SAMPLES)))
    needs = QuantizeNeeds(runtime.scheme(profile), collect(model, split))

    def file(options: Quantize) -> Lowered:
        return runtime.lower(options.run(model, needs).model, profile)

    plain = runtime.lower(model, profile).size_bytes
    eight, four = file(Quantize()), Quantize(bits=4, ends=4).run(model, needs).model
    narrow, wide = runtime.lower(four, profile), runtime.lower(in_int8(four), profile)
    same = np.array_equal(answers(runtime, narrow, data), answers(runtime, wide, data))
    pair = [runtime.load(lowered.files, lowered.entry, 1) for lowered in (narrow, wide)]
    ratio = compare(pair[0], pair[1], {"x": data[:1]}, rounds, warm_up_s=_WARM_UP_S)
    ends = file(Quantize(bits=4)).size_bytes
    sizes = [f"{size:,} ({1 - size / plain:.1%} less)" for size in (eight.size_bytes, ends, narrow.size_bytes)]
    return [f"{plain:,}", *sizes, "yes" if same else "NO", f"{ratio.ratio:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--profile", default="x86-64-vnni", help="whose scheme; to be run on such a machine")
    parser.add_argument("--only", choices=sorted(NETWORKS))
    given = parser.parse_args()
    print("| network | runtime | float32 | int8 | int4, ends int8 | int4 | exact | time / int8's |")
    print("|---|---|---|---|---|---|---|---|")
    profile = load(given.profile)
    for name in [given.only] if given.only else NETWORKS:
        model = NETWORKS[name]()
        for kind in registry.NAMES:
            cells = measure(registry.get(kind), profile, model, given.rounds)
            print(f"| {name} | {kind} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
