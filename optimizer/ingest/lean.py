"""Importing Keras without the libraries that it only draws, wraps and converts with: they take nearly as long as itself."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import cast

_IN_VAIN = ("matplotlib", "pandas", "sklearn")


@contextlib.contextmanager
def lean() -> Iterator[None]:
    """Within the block these libraries are not found, as if they were not installed; what is imported already stays."""
    hidden = [name for name in _IN_VAIN if name not in sys.modules]
    # None is what the import system takes for "known not to be there".
    modules = cast(dict[str, ModuleType | None], sys.modules)
    modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del modules[name]
