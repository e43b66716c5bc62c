"""Running an .onnx file with ONNX Runtime on the CPU; needs numpy and onnxruntime, nothing of onnx."""

from __future__ import annotations

import json
import mmap
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from numpy.typing import NDArray

from ...core.errors import RuntimeFailure
from ...core.executor import Content, TensorSpec
from ..inputs import check_inputs, check_threads, entry_of, first_line

_DTYPES: Mapping[str, str] = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int16)": "int16",
    "tensor(uint16)": "uint16",
    "tensor(int32)": "int32",
    "tensor(uint32)": "uint32",
    "tensor(int64)": "int64",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
}
_FATAL_ONLY = 4
# What ONNX Runtime adds to a node's name when it changes its layout, and to a value's when it quantizes it once more.
_RENAMED = re.compile(r"(_token_\d+|_nchwc|(?<=\d)_d?q)+$")
# The operator's name as it stands in the file: field 4 of NodeProto, length, text.
_QUANTIZE, _DEQUANTIZE = b'"\x0eQuantizeLinear', b'"\x10DequantizeLinear'


def session_options(threads: int) -> Any:
    """Options of every session: sequential, `threads` within an operator, deterministic, quiet."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = check_threads(threads)
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = _FATAL_ONLY
    return options


class OnnxRuntimeExecutor:
    """One session. Not thread-safe."""

    def __init__(self, data: Content, options: Any) -> None:
        """Make the session; raises RuntimeFailure."""
        import onnxruntime

        try:
            self._session: Any = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise RuntimeFailure(f"ONNX Runtime cannot load this file: {first_line(error)}.") from error
        self.inputs = tuple(_spec(node) for node in self._session.get_inputs())
        self.outputs = tuple(_spec(node) for node in self._session.get_outputs())
        self._names = [spec.name for spec in self.outputs]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs by name; raises RuntimeFailure."""
        if self._session is None:
            raise RuntimeFailure("this executor is closed; load the file again.")
        checked = check_inputs(self.inputs, inputs)
        try:
            made = self._session.run(self._names, checked)
        except Exception as error:
            raise RuntimeFailure(f"ONNX Runtime failed while it ran: {first_line(error)}.") from error
        return dict(zip(self._names, made, strict=True))

    def end_profiling(self) -> list[dict[str, Any]]:
        """Events of a session that was made with profiling on; the trace file is removed."""
        trace = Path(self._session.end_profiling())
        events: list[dict[str, Any]] = json.loads(trace.read_text("utf-8"))
        trace.unlink()
        return events

    def close(self) -> None:
        """Release the session."""
        self._session = None


def load(files: Mapping[str, Content], entry: str, threads: int) -> OnnxRuntimeExecutor:
    """Executor of the .onnx file `entry`; raises RuntimeFailure."""
    data = entry_of(files, entry)
    return OnnxRuntimeExecutor(data, _options_for(data, threads))


def profile_operators(
    files: Mapping[str, Content], entry: str, threads: int, inputs: Mapping[str, Any], runs: int
) -> list[tuple[str, str, float]]:
    """Median microseconds of each operator, in the order of execution, from ONNX Runtime's own trace."""
    with tempfile.TemporaryDirectory() as folder:
        data = entry_of(files, entry)
        options = _options_for(data, threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "trace")
        executor = OnnxRuntimeExecutor(data, options)
        for _ in range(max(runs, 1)):
            executor.run(inputs)
        events = executor.end_profiling()
        executor.close()
    times: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = _RENAMED.sub("", event["name"].removesuffix("_kernel_time"))
            key = (name, event["args"]["op_name"])
            times.setdefault(key, []).append(float(event["dur"]))
    return [(name, kind, median(durations)) for (name, kind), durations in times.items()]


def _options_for(data: Content, threads: int) -> Any:
    """Options for one file: where only weights are quantized they are widened once, at load, and not in every run."""
    options = session_options(threads)
    if _has(data, _DEQUANTIZE) and not _has(data, _QUANTIZE):
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    return options


def _has(data: Content, text: bytes) -> bool:
    if isinstance(data, bytes):
        return text in data
    try:
        with data.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return mapped.find(text) >= 0
    except (OSError, ValueError) as error:
        raise RuntimeFailure(f"cannot read {data}: {error}; check the path.") from error


def _spec(node: Any) -> TensorSpec:
    if node.type not in _DTYPES:
        raise RuntimeFailure(f"the tensor {node.name!r} is a {node.type}, which this runtime does not handle.")
    return TensorSpec(node.name, _DTYPES[node.type], tuple(size if isinstance(size, int) else None for size in node.shape))
