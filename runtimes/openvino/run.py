"""Running an OpenVINO IR with the CPU plugin; needs numpy and openvino, nothing of onnx."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import RuntimeFailure
from ...core.executor import Content, TensorSpec, read
from ..inputs import check_inputs, check_threads, entry_of, first_line

# What the plugin adds to an operator's name when it takes the scale out of it.
_RENAMED = re.compile(r"/Dequantization\w*$")


def properties(threads: int) -> dict[str, Any]:
    """Properties of every compiled model: float32 arithmetic (never bf16), one stream, weights never quantized at run time."""
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "EXECUTION_MODE_HINT": "ACCURACY",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": check_threads(threads),
        "ENABLE_CPU_PINNING": False,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    }


class OpenVinoExecutor:
    """One compiled model with one request. Not thread-safe."""

    def __init__(self, files: Mapping[str, Content], entry: str, options: Mapping[str, Any]) -> None:
        """Compile the IR `entry` with the weights beside it; raises RuntimeFailure."""
        import openvino

        text = entry_of(files, entry)
        weights = files.get(str(PurePosixPath(entry).with_suffix(".bin")), b"")
        try:
            core = openvino.Core()
            model = _read(core, text, weights)
            # Before compiling: that merges the names of tensors that become one.
            self.inputs = tuple(_spec(port) for port in model.inputs)
            self.outputs = tuple(_spec(port) for port in model.outputs)
            self.compiled: Any = core.compile_model(model, "CPU", dict(options))
            self.request: Any = self.compiled.create_infer_request()
        except RuntimeFailure:
            raise
        except Exception as error:
            raise RuntimeFailure(f"OpenVINO cannot load this file: {first_line(error)}.") from error

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs by name; raises RuntimeFailure."""
        if self.request is None:
            raise RuntimeFailure("this executor is closed; load the file again.")
        checked = check_inputs(self.inputs, inputs)
        try:
            made = self.request.infer(list(checked.values()), share_inputs=True, share_outputs=True)
            return {spec.name: np.array(made[index]) for index, spec in enumerate(self.outputs)}
        except Exception as error:
            raise RuntimeFailure(f"OpenVINO failed while it ran: {first_line(error)}.") from error

    def close(self) -> None:
        """Release the request and the compiled model."""
        self.request = self.compiled = None


def load(files: Mapping[str, Content], entry: str, threads: int) -> OpenVinoExecutor:
    """Executor of the .xml file `entry` and the .bin of the same name; raises RuntimeFailure."""
    return OpenVinoExecutor(files, entry, properties(threads))


def profile_operators(
    files: Mapping[str, Content], entry: str, threads: int, inputs: Mapping[str, Any], runs: int
) -> list[tuple[str, str, float]]:
    """Median microseconds of each operator that was executed, in order, from the plugin's performance counters."""
    executor = OpenVinoExecutor(files, entry, {**properties(threads), "PERF_COUNT": True})
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(max(runs, 1)):
        executor.run(inputs)
        for item in executor.request.profiling_info:
            if str(item.status).endswith("EXECUTED"):
                name = _RENAMED.sub("", item.node_name)
                times.setdefault((name, item.node_type), []).append(item.real_time.total_seconds() * 1e6)
    executor.close()
    return [(name, kind, median(values)) for (name, kind), values in times.items()]


def _read(core: Any, text: Content, weights: Content) -> Any:
    if isinstance(text, Path) and isinstance(weights, Path):
        return core.read_model(str(text), str(weights))  # the weights are mapped, not copied
    return core.read_model(model=read(text), weights=_tensor(read(weights)))


def _tensor(weights: bytes) -> Any:
    import openvino

    array = np.frombuffer(weights, np.uint8) if weights else np.zeros(0, np.uint8)
    return openvino.Tensor(np.array(array))


def _spec(port: Any) -> TensorSpec:
    """`TensorSpec` of an input or output; its name is the tensor's, or its node's where the tensor has none."""
    names = sorted(port.get_names())
    name = names[0] if names else port.get_node().get_friendly_name()
    shape = tuple(size.get_length() if size.is_static else None for size in port.get_partial_shape())
    return TensorSpec(name, np.dtype(port.get_element_type().to_dtype()).name, shape)
