"""The runtimes by name, imported when first asked for."""

from __future__ import annotations

from importlib import import_module, util
from typing import cast

from ..core.errors import UsageError, unknown
from .contract import Runtime

_PACKAGES = {"onnxruntime": "onnxruntime", "openvino": "openvino", "litert": "ai_edge_litert"}
NAMES = tuple(_PACKAGES)


def get(name: str) -> Runtime:
    """The runtime of that name; raises UsageError when it is unknown or its package is not installed."""
    if name not in _PACKAGES:
        raise UsageError(unknown("runtime", name, _PACKAGES))
    if util.find_spec(_PACKAGES[name]) is None:
        raise UsageError(f"runtime {name!r} is not installed; pip install 'edgewright[{name}]'.")
    return cast(Runtime, import_module(f".{name}.runtime", __package__).RUNTIME)
