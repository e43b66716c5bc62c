"""Running a .tflite file with ai-edge-litert, or with tflite-runtime where a device has that; numpy and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import RuntimeFailure
from ...core.executor import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PACKAGES = (("ai_edge_litert.interpreter", "ai-edge-litert"), ("tflite_runtime.interpreter", "tflite-runtime"))


def version() -> str:
    """Name and version of the installed interpreter; raises RuntimeFailure where there is none."""
    for _, package in _PACKAGES:
        try:
            return f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue
    raise RuntimeFailure("no TFLite interpreter is installed; pip install ai-edge-litert.")


def _interpreter() -> Callable[..., Any]:
    for module, _ in _PACKAGES:
        try:
            return import_module(module).Interpreter  # type: ignore[no-any-return]
        except ImportError:
            continue
    raise RuntimeFailure("no TFLite interpreter is installed; pip install ai-edge-litert.")


class LiteRTExecutor:
    """One loaded file; inputs and outputs go by the names of the file's tensors."""

    def __init__(self, data: bytes, threads: int) -> None:
        """Load `data`; raises RuntimeFailure where the interpreter refuses it."""
        try:
            self._interpreter = _interpreter()(model_content=data, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, TypeError) as error:
            raise RuntimeFailure(f"LiteRT cannot load the file: {_first_line(error)}.") from error
        self._inputs = self._interpreter.get_input_details()
        self._outputs = self._interpreter.get_output_details()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs, batch fixed."""
        return tuple(map(_spec, self._inputs))

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs, batch fixed."""
        return tuple(map(_spec, self._outputs))

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one batch; raises RuntimeFailure on a missing input, another shape or type, or a failing kernel."""
        if self._interpreter is None:
            raise RuntimeFailure("the executor is closed; load the file again.")
        for detail in self._inputs:
            name = detail["name"]
            if name not in inputs:
                raise RuntimeFailure(f"the input {name!r} is missing; give {', '.join(d['name'] for d in self._inputs)}.")
            array = inputs[name]
            if array.shape != tuple(detail["shape"]) or array.dtype != detail["dtype"]:
                want = f"{np.dtype(detail['dtype']).name} {tuple(map(int, detail['shape']))}"
                raise RuntimeFailure(f"the input {name!r} is {array.dtype.name} {array.shape}; the file takes {want}.")
            self._interpreter.set_tensor(detail["index"], array)
        try:
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise RuntimeFailure(f"LiteRT failed while running: {_first_line(error)}.") from error
        return {detail["name"]: self._interpreter.get_tensor(detail["index"]) for detail in self._outputs}

    def close(self) -> None:
        """Release the interpreter."""
        self._interpreter = None


def load(files: Mapping[str, bytes], entry: str, threads: int) -> LiteRTExecutor:
    """Executor of the file `entry`; raises RuntimeFailure."""
    if entry not in files:
        raise RuntimeFailure(f"the file {entry!r} is missing; the artifact is incomplete.")
    if threads < 1:
        raise RuntimeFailure(f"{threads} threads were asked for; give at least one.")
    return LiteRTExecutor(files[entry], threads)


def _spec(detail: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(str(detail["name"]), np.dtype(detail["dtype"]).name, tuple(int(size) for size in detail["shape"]))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["unknown error"])[0].rstrip(".")
