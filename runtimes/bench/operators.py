"""Where a model's time goes, operator by operator, as its runtime's profiler says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from ..registry import get
from .opening import ModelFile

_RUNS = 20
_BY: Mapping[str, str] = {
    "onnxruntime": "ONNX Runtime's own trace, which slows a run down a little",
    "openvino": "OpenVINO's performance counters, as it fused the operators",
    "litert": "each operator timed alone in a file of its own: fusing across operators is lost, so the sum may exceed a run",
}


def operator_times(model: ModelFile, threads: int, inputs: Mapping[str, NDArray[Any]], runs: int = _RUNS) -> dict[str, Any]:
    """JSON object: `by` what it was measured, how many `runs`, and `rows` of name, kind, median `us` and `share` of the sum.

    Rows are in the order of execution. Raises RuntimeFailure, UsageError when the runtime is not installed.
    """
    times = get(model.runtime).profile_operators(model.files, model.entry, threads, inputs, runs)
    total = sum(microseconds for _, _, microseconds in times)
    return {
        "by": _BY[model.runtime],
        "runs": runs,
        "rows": [
            {"name": name, "kind": kind, "us": microseconds, "share": microseconds / total if total else 0.0}
            for name, kind, microseconds in times
        ],
    }
