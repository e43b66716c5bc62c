"""Where a model's time goes, operator by operator, as its runtime's profiler says."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from numpy.typing import NDArray

from .opening import ModelFile, runtime_version

_RUNS = 20
# What a device has is enough for the first two; LiteRT's takes the file apart with what the compiler makes files with.
_PROFILERS: Mapping[str, str] = {"onnxruntime": "onnxruntime.run", "openvino": "openvino.run", "litert": "litert.runtime"}
_BY: Mapping[str, str] = {
    "onnxruntime": "ONNX Runtime's own trace, which slows a run down a little",
    "openvino": "OpenVINO's performance counters, as it fused the operators",
    "litert": "each operator timed alone in a file of its own: fusing across operators is lost, so the sum may exceed a run",
}


def profiler_of(runtime: str) -> Any:
    """What has the runtime's `profile_operators`; raises UsageError, ModuleNotFoundError where something is not installed."""
    runtime_version(runtime)
    module = import_module(f"..{_PROFILERS[runtime]}", __package__)
    return getattr(module, "RUNTIME", module)


def operator_times(model: ModelFile, threads: int, inputs: Mapping[str, NDArray[Any]], runs: int = _RUNS) -> dict[str, Any]:
    """JSON object: `by` what it was measured, how many `runs`, and `rows` of name, kind, median `us` and `share` of the sum.

    Rows are in the order of execution. Raises RuntimeFailure, UsageError when the runtime is not installed.
    """
    profiler = profiler_of(model.runtime)
    times: list[tuple[str, str, float]] = profiler.profile_operators(model.files, model.entry, threads, inputs, runs)
    total = sum(microseconds for _, _, microseconds in times)
    return {
        "by": _BY[model.runtime],
        "runs": runs,
        "rows": [
            {"name": name, "kind": kind, "us": microseconds, "share": microseconds / total if total else 0.0}
            for name, kind, microseconds in times
        ],
    }
