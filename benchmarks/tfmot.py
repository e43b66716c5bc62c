"""The compiler's own training against TFMOT's on the same Keras model, data and epochs: accuracy and size side by side.

MLPerf Tiny's ResNet-8 on CIFAR-10: both prune, then train with the rounding of int8; one report judges both on the same images.

    python -m benchmarks.tfmot --out DIR [--samples 10000] [--epochs 3] [--kind pqat ...]
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import edgewright
import numpy as np
from edgewright.cli.progress import RichProgress
from edgewright.optimizer.report.types import CompileReport
from PIL import Image

from benchmarks.zoo import DATA

_JUDGED, _ACCEPTED = 5000, 1000
_TEACHER = 0.01  # TFMOT learns from labels alone, and the images are not those that the model was trained on


def images(part: str, count: int) -> dict[str, np.ndarray]:
    """The first images of CIFAR-10's `part`, as float32 [n, 32, 32, 3] from 0 to 255, and their labels."""
    with np.load(DATA / "cifar10" / f"{part}.npz") as archive:
        data, offsets, labels = archive["jpeg"].tobytes(), archive["offsets"].tolist(), archive["labels"][:count]
    pictures = [Image.open(io.BytesIO(data[offsets[i] : offsets[i + 1]])).convert("RGB") for i in range(count)]
    return {"x": np.stack([np.asarray(picture, np.float32) for picture in pictures]), "y": labels.astype(np.int64)}


def table(report: CompileReport) -> str:
    """A line a candidate, the smallest first: bytes of the file, accuracy on the judged images and its change."""
    lines = [
        f"| made by | kB | top-1 of {_JUDGED - _ACCEPTED} images | against the source | training, s |",
        "|---|---|---|---|---|",
    ]
    seconds = {variant.name: sum(item.seconds for item in variant.passes) for variant in report.variants}
    for candidate in sorted(report.targets[0].candidates, key=lambda item: item.size_bytes or 0):
        metric = next(iter(candidate.metrics.values()), None)
        if candidate.size_bytes is None or metric is None or metric.candidate is None or metric.reference is None:
            lines.append(f"| {candidate.variant or 'plain'} | - | - | {candidate.why} | - |")
            continue
        name = f"{candidate.variant or 'plain'}, {candidate.precision}"
        change = f"{100 * (metric.candidate - metric.reference):+.2f} points"
        took = f"{seconds.get(candidate.variant, 0):.0f}"
        lines.append(f"| {name} | {candidate.size_bytes / 1000:.1f} | {100 * metric.candidate:.2f} % | {change} | {took} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=3, help="epochs of each phase: pruning, quantization")
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--kind", nargs="+", default=["qat", "pqat"])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    epochs, sparsity = arguments.epochs, arguments.sparsity
    quantize = f"quantize{{mode=qat,epochs={epochs},teacher-weight={_TEACHER}}}"
    training, judged = images("train", arguments.samples), images("test", _JUDGED)
    result = edgewright.compile(
        DATA / "cifar10" / "pretrainedResnet.h5",
        accept={name: array[:_ACCEPTED] for name, array in judged.items()},
        search={name: array[_ACCEPTED:] for name, array in judged.items()},
        calib=training,
        search_samples=_JUDGED - _ACCEPTED,
        profiles=["x86-64-vnni"],
        runtimes=["litert"],
        precisions=["int8"],
        gates=["top1 >= -1pt"],
        objective="size",
        pipelines=[
            f"qat: {quantize}",
            f"sparse-qat: sparsify{{amount={sparsity},epochs={epochs}}},fold-bn,{quantize}",
        ],
        keras_steps=[f"tfmot-{kind}: tfmot{{kind={kind},epochs={epochs},sparsity={sparsity}}}" for kind in arguments.kind],
        threads=arguments.threads,
        out=arguments.out,
        store=arguments.out / "store",
        ledger=arguments.out / "ledger.json",
        progress=RichProgress(),
    )
    print(table(result.report))


if __name__ == "__main__":
    main()
