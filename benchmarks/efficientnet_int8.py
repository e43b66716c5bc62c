"""int8 of EfficientNet-Lite0 (trained weights, 500 natural images): ours beside ONNX Runtime's own quantizer.

Agreement is the share of images with the same top-1 class as the float model. Latency is measured interleaved against ONNX
Runtime's default int8, on one thread. Wanted: agreement at least that of ONNX Runtime with reduce_range, time at most that of
its default.

    python -m benchmarks.efficientnet_int8 --images 500
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import edgewright
import numpy as np
from edgewright.cli.progress import RichProgress
from edgewright.core.artifact_read import open_artifact
from edgewright.device_profiles.detect import host_cpu
from edgewright.runtimes import registry
from edgewright.runtimes.bench.batches import run_all
from edgewright.runtimes.bench.compare import compare

from benchmarks.images import cifar10
from benchmarks.models import SIZE, efficientnet_lite0, export_efficientnet_lite0

_CALIBRATION = 300


def images(count: int) -> np.ndarray:
    """Images [count, 3, 224, 224], scaled as the model was trained."""
    made = np.empty((count, 3, SIZE, SIZE), np.float32)
    for index, image in enumerate(cifar10(count, SIZE)):
        made[index] = ((image.astype(np.float32) - 127) / 128).transpose(2, 0, 1)
    return made


def quantized_by_onnxruntime(source: Path, target: Path, samples: np.ndarray, *, reduce_range: bool) -> float:
    """Write ONNX Runtime's int8 (QDQ, per channel, min-max); returns seconds."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rows: Iterator[np.ndarray] = iter(samples)

        def get_next(self) -> dict[str, Any] | None:
            row = next(self.rows, None)
            return None if row is None else {"image": row[None]}

    start = time.perf_counter()
    ready = target.with_suffix(".pre.onnx")
    quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
    quantize_static(
        str(ready),
        str(target),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=reduce_range,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return time.perf_counter() - start


def classes(executor: Any, x: np.ndarray) -> np.ndarray:
    """Top-1 class of each image."""
    return np.asarray(next(iter(run_all(executor, {executor.inputs[0].name: x}).values())).argmax(axis=1))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    options = parser.parse_args()
    x = images(options.images + _CALIBRATION + 64)
    judged, calib = x[: options.images], x[options.images :]
    has_vnni = bool(host_cpu().flags & {"avx512_vnni", "avx_vnni"})
    profile = "x86-64-vnni" if has_vnni else "x86-64-avx2"
    ort = registry.get("onnxruntime")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "model.onnx"
        export_efficientnet_lite0(source)
        files = {"float32": source}
        seconds = {}
        for label, reduce_range in (("default", False), ("reduce_range", True)):
            files[f"onnxruntime {label}"] = folder / f"{label}.onnx"
            seconds[f"onnxruntime {label}"] = quantized_by_onnxruntime(
                source, folder / f"{label}.onnx", calib[:_CALIBRATION], reduce_range=reduce_range
            )
        executors = {label: ort.load({"m": path.read_bytes()}, "m", 1) for label, path in files.items()}
        sizes = {label: path.stat().st_size for label, path in files.items()}
        for runtime in registry.NAMES:
            start = time.perf_counter()
            result = edgewright.compile(
                efficientnet_lite0(),
                data={"x": judged},
                calib={"x": calib},
                name="efficientnet_lite0",
                profiles=[profile],
                gates=["agreement >= 80%"],
                precisions=("int8",),
                runtimes=(runtime,),
                objective="size",
                out=folder / runtime,
                store=folder / "store",
                calib_samples=_CALIBRATION,
                search_samples=64,
                progress=RichProgress(),
            )
            label = f"edgewright {runtime}"
            seconds[label] = time.perf_counter() - start
            path = result.artifacts.get(profile)
            if path is None:
                print(f"{label}: {result.report.targets[0].why}")
                continue
            artifact = open_artifact(path)
            print(f"{label}: {artifact.manifest.pipeline}")
            executors[label] = registry.get(runtime).load(artifact.files, artifact.manifest.entry, 1)
            sizes[label] = sum(len(data) for data in artifact.files.values())
        reference = classes(executors["float32"], judged)
        base = executors["onnxruntime default"]
        print("\n| file | MB | agreement with float | time / ONNX Runtime's default int8 (interval) | seconds to make |")
        print("|---|---|---|---|---|")
        for label, executor in executors.items():
            agreement = float((classes(executor, judged) == reference).mean())
            ratio = compare(
                executor,
                base,
                {executor.inputs[0].name: judged[:1]},
                rounds=100,
                reference_inputs={base.inputs[0].name: judged[:1]},
            )
            made = f"{seconds[label]:.0f}" if label in seconds else "-"
            times = f"{ratio.ratio:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
            print(f"| {label} | {sizes[label] / 1e6:.2f} | {agreement:.1%} | {times} | {made} |")


if __name__ == "__main__":
    main()
