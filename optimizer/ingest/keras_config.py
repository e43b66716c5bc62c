"""What a Keras file would run when it is loaded, found in its configuration before Keras sees it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from ...core.errors import ModelError, TrustError

# Layers whose configuration is code, or that load more files.
_CODE = ("Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer", "FlaxLayer", "JaxLayer")
_MODULES = ("keras", "builtins", "tf_keras", "tensorflow.keras", "tensorflow.python.keras")


def check_config(path: Path, is_zip: bool, trust: bool) -> None:
    """Raise TrustError when the model's configuration holds code or foreign classes, ModelError when there is none."""
    config = _of_zip(path) if is_zip else _of_hdf5(path)
    if trust:
        return
    pending: list[Any] = [config]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(item)
        if not isinstance(item, dict):
            continue
        pending.extend(item.values())
        kind, module = item.get("class_name"), item.get("module")
        if kind in _CODE:
            raise TrustError(f"{path} has a {kind} layer, which runs code of its own; if you trust its maker, give --trust.")
        if isinstance(module, str) and "class_name" in item and module.split(".")[0] != "keras" and module not in _MODULES:
            raise TrustError(f"{path} wants {kind} of the package {module!r}; if you trust its maker, give --trust.")


def _of_zip(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, RuntimeError) as error:
        raise ModelError(f"{path} is a broken .keras file ({error}); save the model again.") from error


def _of_hdf5(path: Path) -> Any:
    import h5py  # type: ignore[import-untyped]

    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
            has_weights = "model_weights" in file or "layer_names" in file.attrs
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise ModelError(f"{path} is a broken HDF5 file ({error}); save the model again.") from error
    if text is None:
        what = "holds weights only" if has_weights else "is an HDF5 file but no Keras model"
        raise ModelError(f"{path} {what}; save the whole model with model.save('model.keras').")
    try:
        return json.loads(text)
    except ValueError as error:
        raise ModelError(f"{path} has a model_config that is no JSON ({error}); save the model again.") from error
