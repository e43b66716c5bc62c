"""Running a .tflite file with ai-edge-litert, or with tflite-runtime where a device has that; numpy and nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import RuntimeFailure
from ...core.executor import Content, TensorSpec
from ..inputs import check_inputs, check_threads, entry_of, first_line

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


def open_interpreter(data: Content, threads: int) -> Any:
    """An interpreter of the file with its tensors allocated; raises RuntimeFailure, ValueError, RuntimeError, TypeError."""
    make = _interpreter_class()
    with quiet():
        given = {"model_path": str(data)} if isinstance(data, Path) else {"model_content": data}
        interpreter = make(**given, num_threads=check_threads(threads))
        interpreter.allocate_tensors()
    return interpreter


def _interpreter_class() -> Callable[..., Any]:
    for module, _ in _PACKAGES:
        try:
            return import_module(module).Interpreter  # type: ignore[no-any-return]
        except ImportError:
            continue
    raise RuntimeFailure("no TFLite interpreter is installed; pip install ai-edge-litert.")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what native code says of its own success off stderr: lines that begin with INFO; all others go there afterwards."""
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, AttributeError):  # the process has no stderr
        yield
        return
    with os.fdopen(os.memfd_create("stderr"), "w+b") as caught:  # a device may have no writable disk
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            for line in caught:
                if not line.startswith(b"INFO"):
                    os.write(2, line)


class LiteRTExecutor:
    """One loaded file; inputs and outputs go by the names of the file's tensors."""

    def __init__(self, data: Content, threads: int) -> None:
        """Load `data`; raises RuntimeFailure where the interpreter refuses it."""
        try:
            self._interpreter = open_interpreter(data, threads)
        except (ValueError, RuntimeError, TypeError) as error:
            raise RuntimeFailure(f"LiteRT cannot load the file: {first_line(error)}.") from error
        self._inputs = self._interpreter.get_input_details()
        self._outputs = self._interpreter.get_output_details()
        self.inputs: tuple[TensorSpec, ...] = tuple(map(_spec, self._inputs))
        self.outputs: tuple[TensorSpec, ...] = tuple(map(_spec, self._outputs))

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one batch; raises RuntimeFailure on a missing input, another shape or type, or a failing kernel."""
        if self._interpreter is None:
            raise RuntimeFailure("the executor is closed; load the file again.")
        checked = check_inputs(self.inputs, inputs)
        for detail in self._inputs:
            self._interpreter.set_tensor(detail["index"], checked[detail["name"]])
        try:
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise RuntimeFailure(f"LiteRT failed while running: {first_line(error)}.") from error
        return {detail["name"]: self._interpreter.get_tensor(detail["index"]) for detail in self._outputs}

    def close(self) -> None:
        """Release the interpreter."""
        self._interpreter = None


def load(files: Mapping[str, Content], entry: str, threads: int) -> LiteRTExecutor:
    """Executor of the file `entry`; raises RuntimeFailure."""
    return LiteRTExecutor(entry_of(files, entry), threads)


def _spec(detail: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(str(detail["name"]), np.dtype(detail["dtype"]).name, tuple(int(size) for size in detail["shape"]))
