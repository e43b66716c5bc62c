"""The digest of this package's own code, so that no step's result outlives the code that made it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from .canonical import digest_file, digest_json

_ROOMS = ("core", "stats", "cpp_bindings", "ir", "calibration", "runtimes", "optimizer")


@cache
def code_digest() -> str:
    """SHA-256 over every module (Python and native) that can change a result."""
    package = Path(__file__).resolve().parents[1]
    files = [file for room in _ROOMS for kind in ("*.py", "*.so") for file in (package / room).rglob(kind)]
    return digest_json({str(file.relative_to(package)): digest_file(file) for file in files})
