"""Edgewright: an edge model optimization and deployment compiler."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .core.version import VERSION

if TYPE_CHECKING:
    from .ir.model import Model as Model
    from .ir.pipeline import Pipeline as Pipeline
    from .optimizer.compile import compile as compile

# ONNX Runtime's wheels for Linux may report use to their maker unless this is set before they load; a device must not.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = VERSION
__all__ = ["Model", "Pipeline", "__version__", "compile"]

_LAZY = {
    "Model": ".ir.model",
    "Pipeline": ".ir.pipeline",
    "compile": ".optimizer.compile",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that a device that needs only `core` imports no onnx."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name], __name__), name)
