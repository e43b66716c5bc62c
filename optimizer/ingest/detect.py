"""What a file is, by its content; the ending of its name is believed by nobody."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

from ...core.errors import ModelError
from ...ir import serde

Kind = Literal["onnx", "pt2", "torchscript", "torch", "pickle", "safetensors", "keras", "hdf5", "tflite", "saved_model"]

_ZIP, _HDF5, _TFLITE = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"TFL3"
_HEAD_BYTES = 4096
_MAX_MEMBERS = 100_000
SAVED_MODEL = "saved_model.pb"  # what makes a folder TensorFlow's
READS = "ONNX, PyTorch (.pt2, or package.module:factory with weights), Keras (.keras, .h5), SavedModels and TFLite"


def detect(path: Path) -> Kind:
    """Format of the model at `path`; raises ModelError when there is none, or it is none that this version reads."""
    if not str(path).isprintable():
        raise ModelError(
            f"the name {str(path)!a} of the model is not plain text; rename the file, for not all runtimes open it."
        )
    try:
        if path.is_dir():
            return _folder_kind(path)
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        size = path.stat().st_size
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror or error}; check the path.") from error
    if size == 0:
        raise ModelError(f"{path} is empty; export the model again.")
    if size > serde.MAX_MODEL_BYTES:
        raise ModelError(f"{path} has {size} bytes, more than {serde.MAX_MODEL_BYTES}; it cannot be a model for the edge.")
    if head.startswith(_ZIP):
        return _zip_kind(path)
    if head.startswith(_HDF5):
        return "hdf5"
    if head[4:8] == _TFLITE:
        return "tflite"
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
        return "safetensors"
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return "pickle"
    return "onnx"


def _folder_kind(path: Path) -> Kind:
    graph = path / SAVED_MODEL
    if not graph.is_file():
        raise ModelError(f"{path} is a folder and no SavedModel; give the model's file.")
    if graph.stat().st_size == 0:
        raise ModelError(f"{graph} is empty; save the model again.")
    for file in path.rglob("*"):
        if not str(file).isprintable() or (file.is_symlink() and file.is_dir()):
            raise ModelError(
                f"{path} has {str(file.relative_to(path))!a}, a link to a folder or no plain name; save the model again."
            )
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    if size > serde.MAX_MODEL_BYTES:
        raise ModelError(f"{path} has {size} bytes, more than {serde.MAX_MODEL_BYTES}; it cannot be a model for the edge.")
    return "saved_model"


def members(path: Path) -> dict[str, int]:
    """Names and unpacked sizes of a zip's members; raises ModelError when it is broken or unpacks to too much."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ModelError(f"{path} is a broken zip ({error}); export the model again.") from error
    total = sum(entry.file_size for entry in entries)
    if len(entries) > _MAX_MEMBERS or total > serde.MAX_MODEL_BYTES:
        raise ModelError(f"{path} unpacks to {len(entries)} files with {total} bytes; it cannot be a model for the edge.")
    return {entry.filename: entry.file_size for entry in entries}


def _zip_kind(path: Path) -> Kind:
    names = list(members(path))
    if "config.json" in names and "metadata.json" in names:
        return "keras"
    inner = {name.split("/", 1)[1] for name in names if "/" in name}
    if "archive_format" in inner or any(name.startswith("models/") for name in inner):
        return "pt2"
    if "data.pkl" in inner:
        return "torchscript" if any(name.startswith("code/") for name in inner) else "torch"
    raise ModelError(f"{path} is a zip but no model that this version reads; it reads {READS}.")
