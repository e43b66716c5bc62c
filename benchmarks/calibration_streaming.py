"""Time and memory of calibration, on EfficientNet-Lite0 with 224x224 images streamed from one .npz.

    memory    peak memory with 2,048 samples against 64, from a stored and from a deflated .npz; wanted: at most 5 % more
    against   percentile and MSE ranges of every tensor together, against ONNX Runtime's percentile calibration on the same
              samples; wanted: at most a tenth of its time and a twentieth of its memory

Each measurement is a fresh process; its peak memory is the kernel's high-water mark of resident memory (VmHWM), imports
included. ONNX Runtime keeps every activation of every sample: at 300 samples it takes about 20 GB.

    python benchmarks/calibration_streaming.py memory
    python benchmarks/calibration_streaming.py against --samples 300 --repeats 3
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

_SIZE = 224
_INPUT = "image"


def peak_bytes() -> int:
    """High-water mark of this process's resident memory."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def edgewright(model: Path, data: Path, samples: int, threads: int) -> dict[str, Any]:
    from edgewright.calibration.collect import collect
    from edgewright.calibration.dataset import Split
    from edgewright.calibration.opening import open_dataset
    from edgewright.calibration.preprocess import Preprocessing
    from edgewright.calibration.ranges import range_of
    from edgewright.ir.model import Model

    preprocessing = Preprocessing.parse("mean=127,std=128,layout=nchw,dtype=float32")
    started = time.perf_counter()
    dataset = open_dataset(data, inputs={_INPUT: _INPUT}, preprocessing=preprocessing)
    found = collect(Model.load(model), Split("calib", dataset, tuple(range(samples))), threads=threads)
    ranges = {method: [range_of(found[name], method) for name in found] for method in ("percentile", "mse")}
    return {"seconds": time.perf_counter() - started, "tensors": len(ranges["mse"]), "peak_bytes": peak_bytes()}


def onnxruntime(model: Path, data: Path, samples: int, threads: int) -> dict[str, Any]:
    import onnxruntime as ort
    from onnxruntime.quantization.calibrate import CalibrationDataReader, CalibrationMethod, create_calibrator

    images = np.load(data)[_INPUT][:samples]

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._next = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._next, None)
            if image is None:
                return None
            return {_INPUT: ((image.astype(np.float32) - 127) / 128).transpose(2, 0, 1)[None]}

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        calibrator = create_calibrator(
            model, None, str(Path(folder) / "augmented.onnx"), calibrate_method=CalibrationMethod.Percentile
        )
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        calibrator.infer_session = ort.InferenceSession(
            calibrator.augmented_model_path, options, providers=["CPUExecutionProvider"]
        )
        calibrator.collect_data(Reader())
        found = calibrator.compute_data()
    return {"seconds": time.perf_counter() - started, "tensors": len(found.data), "peak_bytes": peak_bytes()}


_WORK = {"edgewright": edgewright, "onnxruntime": onnxruntime}


def measured(work: str, *arguments: object) -> dict[str, Any]:
    """Result of one piece of work in a process of its own."""
    command = [sys.executable, __file__, "child", work, *(str(argument) for argument in arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def memory(model: Path, folder: Path, few: int, many: int, threads: int) -> list[dict[str, Any]]:
    rows = []
    for compressed in (False, True):
        peaks = {}
        for count in (few, many):
            data = folder / f"{count}-{compressed}.npz"
            write(data, count, compressed)
            peaks[count] = measured("edgewright", model, data, count, threads)
            data.unlink()
        row = {
            "npz": "deflated" if compressed else "stored",
            "peak_mb": {count: round(result["peak_bytes"] / 1e6, 1) for count, result in peaks.items()},
            "seconds": {count: round(result["seconds"], 1) for count, result in peaks.items()},
            "growth_percent": round(100 * (peaks[many]["peak_bytes"] / peaks[few]["peak_bytes"] - 1), 2),
        }
        print(json.dumps(row), flush=True)
        rows.append(row)
    return rows


def against(model: Path, folder: Path, samples: int, repeats: int, threads: int) -> dict[str, Any]:
    data = folder / "against.npz"
    write(data, samples, compressed=False)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in _WORK}
    for _ in range(repeats):
        for name, results in runs.items():
            results.append(measured(name, model, data, samples, threads))
    row: dict[str, Any] = {"samples": samples, "repeats": repeats}
    for name, results in runs.items():
        row[name] = {
            "seconds": round(statistics.median(result["seconds"] for result in results), 2),
            "peak_mb": round(statistics.median(result["peak_bytes"] for result in results) / 1e6, 1),
            "tensors": results[0]["tensors"],
        }
    row["time_ratio"] = round(row["edgewright"]["seconds"] / row["onnxruntime"]["seconds"], 4)
    row["memory_ratio"] = round(row["edgewright"]["peak_mb"] / row["onnxruntime"]["peak_mb"], 4)
    print(json.dumps(row), flush=True)
    return row


def write(path: Path, count: int, compressed: bool) -> None:
    from images import cifar10, write_npz

    write_npz(path, _INPUT, cifar10(count, _SIZE), count, compressed=compressed)


def main() -> None:
    if sys.argv[1:2] == ["child"]:
        work, model, data, samples, threads = sys.argv[2:]
        print(json.dumps(_WORK[work](Path(model), Path(data), int(samples), int(threads))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("memory", "against"))
    parser.add_argument("--few", type=int, default=64)
    parser.add_argument("--many", type=int, default=2048)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        from models import export_efficientnet_lite0

        model = Path(name) / "model.onnx"
        export_efficientnet_lite0(model)
        figures: Any
        if given.what == "memory":
            figures = memory(model, Path(name), given.few, given.many, given.threads)
        else:
            figures = against(model, Path(name), given.samples, given.repeats, given.threads)
    if given.out:
        given.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
