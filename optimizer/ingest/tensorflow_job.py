"""Keras files, SavedModels and TFLite files become graphs in a process of their own.

TensorFlow takes seconds and half a gigabyte to import, writes to standard error from C++, and can end the process on a broken
file; the names that tf2onnx makes come from counters that begin anew with each process.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...core.child import child_command
from ...core.errors import EdgewrightError, ModelError
from ...ir.model import Model
from .convert import Converted
from .samples import Samples

Kind = Literal["keras", "saved_model", "tflite"]
_ANSWER, _MODEL, _INPUTS, _OUTPUTS = "answer.json", "model.onnx", "inputs.npz", "outputs.npz"
_SAMPLES, _SHAPES = "samples.npz", "shapes.json"
Shapes = Mapping[str, Sequence[int | None]]
_TIMEOUT_SECONDS = 1800
_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TF_ENABLE_ONEDNN_OPTS": "0", "PYTHONHASHSEED": "0"}


def convert_in_child(path: Path, kind: Kind, samples: Samples | None, trust: bool, shapes: Shapes | None = None) -> Converted:
    """Graph of the file at `path` with the source's answers; raises the child's error, or ModelError when it dies.

    `shapes` are for the free axes of a SavedModel's inputs.
    """
    with tempfile.TemporaryDirectory(prefix="edgewright-") as name:
        folder = Path(name)
        if samples is not None:
            _save(folder / _SAMPLES, samples)
        (folder / _SHAPES).write_text(json.dumps({name: list(shape) for name, shape in (shapes or {}).items()}))
        try:
            done = subprocess.run(  # noqa: PLW1510
                child_command(__name__, str(folder), str(path.absolute()), kind, *(["--trust"] if trust else [])),
                env={**os.environ, **_ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise ModelError(
                f"TensorFlow did not come to an end with {path} within {_TIMEOUT_SECONDS:g} s; export it to ONNX."
            ) from None
        try:
            answer: dict[str, Any] = json.loads((folder / _ANSWER).read_bytes())
        except (OSError, ValueError):
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise ModelError(
                f"TensorFlow died on {path} (code {done.returncode}, {said[-1] if said else 'silently'}); export it to ONNX."
            ) from None
        if "error" in answer:
            raise _error(answer["kind"])(answer["error"])
        model = Model.load(folder / _MODEL)
        return Converted(
            model,
            _arrays(folder / _INPUTS),
            _arrays(folder / _OUTPUTS),
            tuple(answer["notes"]),
            dict(answer["versions"]),
            answer["is_eight_bit"],
        )


def _error(name: str) -> type[EdgewrightError]:
    return next((kind for kind in _kinds(EdgewrightError) if kind.__name__ == name), ModelError)


def _kinds(root: type[EdgewrightError]) -> list[type[EdgewrightError]]:
    return [kind for child in root.__subclasses__() for kind in (child, *_kinds(child))]


def _save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    np.savez(path, allow_pickle=False, **dict(arrays))


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _main(folder: Path, path: Path, kind: str, trust: bool) -> None:
    """Convert, run, and leave the answer in `folder`."""
    samples = _arrays(folder / _SAMPLES) if (folder / _SAMPLES).exists() else None
    try:
        made = _convert(path, kind, samples, trust, folder)
        (folder / _MODEL).write_bytes(made.model.to_bytes())
        _save(folder / _INPUTS, made.inputs)
        _save(folder / _OUTPUTS, made.outputs)
        answer: Mapping[str, Any] = {
            "notes": made.notes,
            "versions": dict(made.versions),
            "is_eight_bit": made.is_eight_bit,
        }
    except EdgewrightError as error:
        answer = {"error": str(error), "kind": type(error).__name__}
    (folder / _ANSWER).write_text(json.dumps(answer))


def _convert(path: Path, kind: str, samples: Samples | None, trust: bool, folder: Path) -> Converted:
    if kind == "saved_model":
        from .saved_model_child import saved_model

        given = folder / _SHAPES
        return saved_model(path, samples, json.loads(given.read_text()) if given.exists() else {})
    from . import tensorflow_child

    return (tensorflow_child.keras if kind == "keras" else tensorflow_child.tflite)(path, samples, trust)


def main(arguments: Sequence[str]) -> None:
    """The child: `arguments` are the folder of the answer, the model's file, its kind, and --trust or nothing."""
    folder, path, kind, *rest = arguments
    _main(Path(folder), Path(path), kind, "--trust" in rest)
