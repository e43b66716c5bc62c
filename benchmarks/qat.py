"""Quantization-aware training: the lowered files compute what was trained, and it wins back what coarse integers lose.

ResNet-8 (MLPerf Tiny's, Keras) on CIFAR-10's JPEG images, its weights in int4 with one scale a layer. Training sees training
images without their labels: the float model alone says what is right. Accuracy is that of the lowered file in its runtime on
test images, which neither calibration nor training sees.

    python -m benchmarks.qat [--runtime litert ...] [--samples 8192] [--epochs 3] [--bits 4] [--granularity tensor]

The first table compares every quantized tensor of the lowered file, run from the input on, with the simulation that was
trained: the share of integers that are equal, and within one step. OpenVINO shows its outputs alone.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from edgewright.calibration.bind import bind
from edgewright.calibration.collect import collect
from edgewright.calibration.dataset import Dataset, Split
from edgewright.calibration.moments import collect_moments
from edgewright.calibration.opening import open_dataset
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.optimizer.ingest.ingest import Ingested, ingest
from edgewright.optimizer.prepare import prepare_model
from edgewright.optimizer.quantize.plan import make_plan
from edgewright.optimizer.quantize.qat.simulation import Simulation
from edgewright.optimizer.quantize.qat.training import train
from edgewright.optimizer.quantize.quantize import Quantize, QuantizeNeeds
from edgewright.optimizer.quantize.rounding import Rounder
from edgewright.optimizer.train.form import training_form
from edgewright.optimizer.train.needs import TrainingNeeds
from edgewright.runtimes import registry
from edgewright.runtimes.contract import Lowered
from edgewright.runtimes.litert.parts import take_apart
from edgewright.runtimes.litert.run import LiteRTExecutor
from edgewright.runtimes.qdq import prepare
from PIL import Image

from benchmarks.zoo import DATA

_PROFILE = load("x86-64-vnni")
_CALIBRATION, _MOMENTS, _SEARCH = 512, 128, 512
Array = np.ndarray


def images(name: str, start: int, stop: int) -> tuple[Array, Array]:
    """Images float32 [n, 32, 32, 3] from 0 to 255, and classes [n]."""
    with np.load(DATA / "cifar10" / f"{name}.npz") as archive:
        data, offsets, labels = archive["jpeg"].tobytes(), archive["offsets"].tolist(), archive["labels"]
    files = (io.BytesIO(data[offsets[place] : offsets[place + 1]]) for place in range(start, min(stop, len(labels))))
    return np.stack([np.asarray(Image.open(file).convert("RGB"), np.float32) for file in files]), labels[start:stop]


@dataclass(frozen=True)
class Job:
    """The source model and what is known of it."""

    samples: int
    judged: int

    @cached_property
    def ingested(self) -> Ingested:
        """The Keras model."""
        return ingest(DATA / "cifar10" / "pretrainedResnet.h5", samples=None, shapes=None)

    @cached_property
    def base(self) -> Model:
        """Prepared as `compile` does."""
        return prepare_model(self.ingested)[0]

    @cached_property
    def data(self) -> Dataset:
        """Training images without labels."""
        inputs = {self.base.inputs[0].name: images("train", 0, self.samples + _SEARCH)[0]}
        return bind(open_dataset(inputs), self.base.inputs)

    @cached_property
    def test(self) -> tuple[Array, Array]:
        """Images and classes to judge by."""
        return images("test", 0, self.judged)

    def split(self, name: str, start: int, stop: int) -> Split:
        """Some of the training images."""
        return Split(name, self.data, tuple(range(start, stop)))

    @cached_property
    def calibration(self) -> tuple[Any, Rounder]:
        """Statistics and moments."""
        moments = collect_moments(self.base, self.split("calib", 0, _MOMENTS), threads=1)
        return collect(self.base, self.split("calib", 0, _CALIBRATION), threads=1), Rounder(moments)

    @cached_property
    def training(self) -> TrainingNeeds:
        """What is trained with."""
        learned, search = self.split("calib", 0, self.samples), self.split("search", self.samples, self.samples + _SEARCH)
        return TrainingNeeds(learned, search, training_form(self.ingested.model), threads=1)

    def needs(self, runtime: str) -> QuantizeNeeds:
        """What `quantize` is given for a runtime."""
        return QuantizeNeeds(registry.get(runtime).scheme(_PROFILE), *self.calibration, self.training)

    def accuracy(self, model: Model, runtime: str) -> float:
        """Share of test images that the lowered file classifies rightly."""
        lowered = registry.get(runtime).lower(model, _PROFILE)
        executor = registry.get(runtime).load(lowered.files, lowered.entry, 1)
        name, (x, y) = self.base.inputs[0].name, self.test
        made = [int(next(iter(executor.run({name: row[None]}).values())).argmax()) for row in x]
        return float((np.array(made) == y).mean())


def onnxruntime_tensors(model: Model, lowered: Lowered, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Integers of every QuantizeLinear in ONNX Runtime's kernels; raises AssertionError where showing them changes a bit."""
    proto = onnx.load_from_string(prepare(model).to_bytes())
    names = [node.output[0] for node in proto.graph.node if node.op_type == "QuantizeLinear"]
    outputs = [output.name for output in proto.graph.output]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    made = dict(zip([*outputs, *names], session.run([*outputs, *names], dict(inputs)), strict=True))
    shipped = registry.get("onnxruntime").load(lowered.files, lowered.entry, 1).run(inputs)
    assert all(np.array_equal(made[name], shipped[name]) for name in outputs)
    return {name: made[name] for name in names}


def litert_tensors(model: Model, lowered: Lowered, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Integers of the QuantizeLinear that each operator of a .tflite file does, in the model's layout."""
    nodes = {str(node.name or node.outputs[0].name): node for node in model.graph}
    held: dict[int, Array] = {}
    found: dict[str, Array] = {}
    for part in take_apart(lowered.files[lowered.entry]):
        for tensor in part.inputs:
            if tensor is not None and (tensor.array is not None or tensor.name in inputs):
                held[tensor.index] = tensor.array if tensor.array is not None else inputs[tensor.name]
        executor = LiteRTExecutor(part.data, 1)
        names = [spec.name for spec in executor.inputs]
        made = executor.run({name: held[index] for name, index in zip(names, part.free, strict=True)})
        for tensor in part.outputs:
            held[tensor.index] = made[tensor.name]
        out = part.outputs[0]
        quantizer = _quantizer(nodes.get(lowered.debug_map.get(out.name, "")))
        if out.dtype == "int8" and quantizer is not None and part.kind not in ("TRANSPOSE", "RESHAPE"):
            found[str(quantizer.outputs[0].name)] = _in_layout(made[out.name], part.kind, quantizer)
    return found


def _quantizer(node: Any) -> Any:
    """The QuantizeLinear that ends the kernel of `node`."""
    while node is not None and node.op_type != "QuantizeLinear":
        readers = node.outputs[0].consumers()
        node = next((reader for reader in readers if reader.op_type == "QuantizeLinear"), readers[0] if readers else None)
    return node


def _in_layout(array: Array, kind: str, quantizer: Any) -> Array:
    """Kernels hold images with the channels last; what is quantized first may be in the model's layout still."""
    shape = tuple(quantizer.outputs[0].shape.numpy())
    is_channels_last = array.ndim == 4 and not (kind == "QUANTIZE" and array.shape == shape)
    return (array.transpose(0, 3, 1, 2) if is_channels_last else array).reshape(shape)


_TENSORS = {"onnxruntime": onnxruntime_tensors, "litert": litert_tensors}


def exactness(job: Job, model: Model, simulation: Simulation, runtime: str, count: int) -> str:
    """A row of the first table."""
    lowered = registry.get(runtime).lower(model, _PROFILE)
    source, output = job.base.inputs[0].name, job.base.outputs[0].name
    executor = registry.get(runtime).load(lowered.files, lowered.entry, 1)
    elements = equal = within = tensors = 0
    worst = 0.0
    for row in job.test[0][:count]:
        inputs = {source: row[None]}
        kernels = _TENSORS[runtime](model, lowered, inputs) if runtime in _TENSORS else {}
        with torch.no_grad():
            values = simulation.module({source: torch.from_numpy(row[None])}, keep=list(kernels))
        worst = max(worst, float(np.abs(executor.run(inputs)[output] - values[output].numpy()).max()))
        tensors = len(kernels)
        for name, integers in kernels.items():
            quantizer = simulation.activations[simulation.groups[name.removesuffix("/quantized")]]
            error = np.abs(quantizer.integers(values[name]).numpy() - integers.astype(np.int32))
            elements, equal, within = elements + error.size, equal + int((error == 0).sum()), within + int((error <= 1).sum())
    shares = f"{equal / elements:12.5%}{within / elements:12.5%}" if elements else f"{'':24}"
    return f"{runtime:14}{tensors:8}{elements:11}{shares}{worst:16.5f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", nargs="*", choices=registry.NAMES, default=["litert", "onnxruntime"])
    parser.add_argument("--samples", type=int, default=8192, help="training images")
    parser.add_argument("--judged", type=int, default=5000, help="test images")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=None)
    parser.add_argument("--bits", type=int, choices=(4, 8), default=4)
    parser.add_argument("--granularity", choices=("channel", "tensor"), default="tensor")
    parser.add_argument("--compared", type=int, default=32, help="images of the first table")
    args = parser.parse_args()
    job = Job(args.samples, args.judged)
    exact, won = [], []
    for runtime in args.runtime:
        given = job.needs(runtime)
        before = Quantize(bits=args.bits, granularity=args.granularity).run(job.base, given).model
        qat = Quantize(mode="qat", bits=args.bits, granularity=args.granularity, epochs=args.epochs, lr=args.lr)
        start = time.monotonic()
        found = train(job.base, before, make_plan(job.base, given.scheme), given.scheme, qat, job.training)
        seconds = time.monotonic() - start
        exact.append(exactness(job, found.model, found.simulation, runtime, args.compared))
        reference, lost, back = (job.accuracy(item, runtime) for item in (job.base, before, found.model))
        share = (back - lost) / (reference - lost) if reference > lost else float("nan")
        won.append(f"{runtime:14}{reference:9.2%}{lost:9.2%}{back:9.2%}{share:10.0%}{seconds:10.0f}")
    print(f"{'runtime':14}{'tensors':>8}{'elements':>11}{'equal':>12}{'within 1':>12}{'output within':>16}")
    print("\n".join(exact))
    what = f"int{args.bits} weights, one scale a {'layer' if args.granularity == 'tensor' else 'channel'}"
    print(f"\nResNet-8, {what}; {args.samples} images without labels, {args.epochs} epochs; {args.judged} test images")
    print(f"{'runtime':14}{'float':>9}{'static':>9}{'trained':>9}{'won back':>10}{'seconds':>10}")
    print("\n".join(won))


if __name__ == "__main__":
    main()
