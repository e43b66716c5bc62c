"""Checking what an executor is given against what its file wants, in one place for every runtime."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RuntimeFailure, unknown
from ..core.executor import Content, TensorSpec

# ONNX Runtime begins with "[ONNXRuntimeError] : 10 : INVALID_GRAPH : " and the file's path.
_CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed:)?(This is an invalid model\. )?")
_PLACES = ("Exception from ", "Check '", "FrontEnd API failed")  # where OpenVINO was in its own sources
_FULL_STOP = re.compile(r"[.!?]\s+(?=[A-Z])")


def check_inputs(specs: Sequence[TensorSpec], inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The inputs as contiguous arrays, in the order of `specs`.

    Raises RuntimeFailure when one is missing, unknown, or of another type or shape than `specs` say.
    """
    names = [spec.name for spec in specs]
    for name in inputs:
        if name not in names:
            raise RuntimeFailure(unknown("model input", name, names))
    checked = {}
    for spec in specs:
        if spec.name not in inputs:
            raise RuntimeFailure(f"the model input {spec.name!r} is missing; give it as {spec.dtype}{_sizes(spec.shape)}.")
        array = np.asarray(inputs[spec.name])
        if array.dtype.name != spec.dtype:
            raise RuntimeFailure(f"the model input {spec.name!r} is {array.dtype.name}; convert it to {spec.dtype}.")
        fits = len(array.shape) == len(spec.shape) and all(
            size in (None, given) for size, given in zip(spec.shape, array.shape, strict=True)
        )
        if not fits:
            raise RuntimeFailure(
                f"the model input {spec.name!r} has shape {list(array.shape)}; the file wants {_sizes(spec.shape)}."
            )
        checked[spec.name] = np.ascontiguousarray(array)
    return checked


def check_threads(threads: int) -> int:
    """`threads` when it is a sensible number; raises RuntimeFailure."""
    if not 1 <= threads <= 1024:
        raise RuntimeFailure(f"cannot run with {threads} threads; give a number from 1 to 1024.")
    return threads


def entry_of(files: Mapping[str, Content], entry: str) -> Content:
    """The file that is loaded; raises RuntimeFailure when it is not among the files."""
    if entry not in files:
        raise RuntimeFailure(unknown("model file", entry, files))
    return files[entry]


def first_line(error: BaseException) -> str:
    """The first line that tells something, as a clause: no codes, places in sources or full stops, at most 300 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith(_PLACES)]
    said = _CODE.sub("", lines[0] if lines else type(error).__name__)
    return _FULL_STOP.sub("; ", said)[:300].rstrip(". ")


def _sizes(shape: Sequence[int | None]) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in shape)}]"
