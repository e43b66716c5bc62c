"""int8 through LiteRT is exact: how many wrapped layers run in int8 kernels, and how far each kernel is from the integers.

Each model is quantized as `compile` does it. Its file is taken apart, and every operator is run alone, in its shipping kernel,
on what the operators before it made of real samples; its int8 result is compared
with exact integer arithmetic that is requantized once in double precision (tests/litert/reference.py).

    python -m benchmarks.litert_exact [--model resnet8 ...] [--samples 4]
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from edgewright.calibration.bind import bind
from edgewright.calibration.collect import collect
from edgewright.calibration.dataset import Split
from edgewright.calibration.opening import open_dataset
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model, constant
from edgewright.optimizer.ingest.ingest import ingest
from edgewright.optimizer.prepare import prepare_model
from edgewright.optimizer.quantize.quantize import Quantize, QuantizeNeeds
from edgewright.runtimes.litert.runtime import RUNTIME

from benchmarks.zoo import ENTRIES, Entry

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
from litert.reference import walk

_PROFILE = load("x86-64-avx2")
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_KERNELS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")
_CALIBRATION_SAMPLES = 32


@dataclass
class Tally:
    """Of all operators of one kind: how many, how many in int8, and how many of their results are within a step."""

    operators: int = 0
    int8: int = 0
    elements: int = 0
    within_one: int = 0
    exact: int = 0
    worst: float = 1.0


def quantized(entry: Entry) -> Model:
    """The entry's model in LiteRT's scheme."""
    model, _ = prepare_model(ingest(entry.model, samples=None, shapes=_shapes(entry)))
    data = bind(open_dataset(_inputs(entry, model)), model.inputs)
    split = Split("calib", data, tuple(range(min(_CALIBRATION_SAMPLES, len(data)))))
    seen = collect(model, split, threads=1)
    return Quantize(ranges="min-max").run(model, QuantizeNeeds(RUNTIME.scheme(_PROFILE), seen)).model


def _shapes(entry: Entry) -> Mapping[str, tuple[int | None, ...]] | None:
    return None if isinstance(entry.model, str | Path) else {"x": (None, *entry.data["x"].shape[1:])}


def _inputs(entry: Entry, model: Model) -> dict[str, np.ndarray]:
    name = model.inputs[0].name
    array = entry.data.get(name, entry.data.get("x"))
    if array is None:
        array = next(iter(entry.data.values()))
    return {name: np.asarray(array)}


def wrapped_layers(model: Model) -> int:
    """Layers with weights that read dequantized integers and whose result is quantized."""
    count = 0
    for node in model.graph:
        if node.op_type in _WEIGHTED and all(_is_dequantized(value) for value in node.inputs[:2]):
            value = node.outputs[0]
            readers = value.consumers()
            while len(readers) == 1 and readers[0].op_type in ("Relu", "Clip", "Add") and not value.is_graph_output():
                if readers[0].op_type == "Add" and all(constant(other) is None for other in readers[0].inputs):
                    break
                value = readers[0].outputs[0]
                readers = value.consumers()
            count += bool(readers) and all(reader.op_type == "QuantizeLinear" for reader in readers)
    return count


def _is_dequantized(value: Any) -> bool:
    maker = value.producer() if value is not None else None
    return maker is not None and maker.op_type == "DequantizeLinear"


def judge(entry: Entry, samples: int) -> tuple[int, int, dict[str, Tally]]:
    """Wrapped layers, layers in int8 kernels, and the tally by kind over `samples` samples."""
    model = quantized(entry)
    file = RUNTIME.lower(model, _PROFILE)
    inputs = _inputs(entry, model)
    spec = model.inputs[0]
    found: dict[str, Tally] = defaultdict(Tally)
    for index in range(samples):
        row = inputs[spec.name][index : index + 1].astype(spec.dtype)
        for operator in walk(file.files[file.entry], {spec.name: row}):
            tally = found[operator.kind]
            tally.operators += index == 0
            tally.int8 += operator.is_int8 and index == 0
            tally.elements += operator.elements
            tally.within_one += operator.within_one
            tally.exact += operator.exact
            if operator.elements:
                tally.worst = min(tally.worst, operator.within_one / operator.elements)
    kernels = sum(tally.int8 for kind, tally in found.items() if kind in _KERNELS)
    return wrapped_layers(model), kernels, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", nargs="*", choices=list(ENTRIES), default=["resnet8", "kws", "digits", "magika", "mobilenet_v2"]
    )
    parser.add_argument("--samples", type=int, default=2, help="samples that each file is run on")
    args = parser.parse_args()
    for name in args.model:
        wrapped, kernels, found = judge(ENTRIES[name](), args.samples)
        print(f"{name}: {wrapped} wrapped convolutions and fully connected layers, {kernels} in int8 kernels")
        print(f"  {'kernel':24}{'operators':>10}{'int8':>6}{'elements':>12}{'within 1':>10}{'exact':>10}{'worst':>10}")
        for kind, tally in sorted(found.items()):
            shares = (
                "".join(f"{part / tally.elements:10.5f}" for part in (tally.within_one, tally.exact)) if tally.elements else ""
            )
            worst = f"{tally.worst:10.5f}" if tally.elements else ""
            print(f"  {kind:24}{tally.operators:10}{tally.int8:6}{tally.elements:12}{shares}{worst}")


if __name__ == "__main__":
    main()
