"""From a model file on disk to an executor, by its ending, with nothing of the compiler imported."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import cast

from ...core.artifact_read import open_artifact
from ...core.errors import RuntimeFailure, UsageError, unknown
from ...core.executor import Content, Executor
from ...core.manifest import TargetRecord

ENDINGS: Mapping[str, str] = {".onnx": "onnxruntime", ".xml": "openvino", ".tflite": "litert"}
_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino",),
    "litert": ("ai-edge-litert", "tflite-runtime"),
}

_MODULES: Mapping[str, tuple[str, ...]] = {
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino",),
    "litert": ("ai_edge_litert.interpreter", "tflite_runtime.interpreter"),
}


@dataclass(frozen=True)
class ModelFile:
    """A lowered model: the runtime that it is for, its files by name, the one to load, and the threads it was judged with.

    `name` is the model's own in an artifact, else the file's stem; `target` is what an artifact was compiled for.
    """

    runtime: str
    files: Mapping[str, Content]
    entry: str
    threads: int = 1
    name: str = ""
    target: TargetRecord | None = None


def open_model(path: Path) -> ModelFile:
    """The model in an artifact (.ewa) or a runtime's own file (.onnx, .tflite, .xml with its .bin).

    Raises UsageError for another ending, RuntimeFailure when the file cannot be read, ArtifactError for a damaged artifact.
    """
    if path.suffix == ".ewa":
        artifact = open_artifact(path)
        manifest = artifact.manifest
        return ModelFile(
            manifest.runtime.name,
            artifact.files,
            manifest.entry,
            manifest.target.threads,
            manifest.name,
            manifest.target,
        )
    if path.suffix not in ENDINGS:
        raise UsageError(f"{path}: {unknown('kind of model file', path.suffix, ('.ewa', *ENDINGS))}")
    names = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    try:
        files = {file.name: file.read_bytes() for file in names}
    except OSError as error:
        raise RuntimeFailure(f"cannot read {error.filename or path}: {error.strerror or error}; check the path.") from error
    return ModelFile(ENDINGS[path.suffix], files, path.name, name=path.stem)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Begin what a runtime says in the block with the file that it says it of."""
    try:
        yield
    except RuntimeFailure as error:
        raise RuntimeFailure(f"{path}: {str(error).rstrip('.')}; check that it is a model for this runtime.") from error


def load_model(model: ModelFile, threads: int | None = None) -> Executor:
    """Executor of an opened model; raises RuntimeFailure, UsageError when its runtime is not installed."""
    runtime_version(model.runtime)
    run = import_module(f"..{model.runtime}.run", __package__)
    return cast(Executor, run.load(model.files, model.entry, threads or model.threads))


def import_libraries(runtime: str) -> None:
    """Load the libraries of a runtime without a model, so that they are not counted as a model's memory."""
    for package in _MODULES.get(runtime, ()):
        with contextlib.suppress(ImportError):
            import_module(package)
            return


def runtime_version(runtime: str) -> str:
    """Version of the installed package; raises UsageError when it is not there, or no runtime has that name."""
    if runtime not in _PACKAGES:
        raise UsageError(unknown("runtime", runtime, _PACKAGES))
    for package in _PACKAGES[runtime]:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    raise UsageError(f"runtime {runtime!r} is not installed; pip install 'edgewright[{runtime}]'.")
