"""A user's own metric: `file.py:function` or `module:function`, called with outputs, labels, inputs and columns."""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ...core.errors import GateError, unknown
from .decisions import Array, Ints, Unjudgeable

# (outputs [n, ...], labels [n, ...] or None, inputs by name, columns by name) -> a number
UserFunction: TypeAlias = Callable[[Array, Array | None, Mapping[str, Array], Mapping[str, Array]], Any]


def load_user_metric(name: str) -> UserFunction:
    """The function that `name` means; it runs the user's code, so call it only for what the user named himself.

    Raises GateError when the file, the module or the function is not there, or cannot be imported.
    """
    place, _, function = name.rpartition(":")
    try:
        module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    except GateError:
        raise
    except (Exception, SystemExit) as error:
        raise GateError(
            f"the metric {name!r} cannot be imported ({type(error).__name__}: {_clause(error)}); fix it or its path."
        ) from error
    found = getattr(module, function, None)
    if found is None:
        raise GateError(unknown(f"function of {place}", function, [key for key in vars(module) if not key.startswith("_")]))
    if not callable(found):
        raise GateError(f"the metric {name!r} is not a function; name one that takes outputs, labels, inputs and columns.")
    return found  # type: ignore[no-any-return]


def evaluate(
    function: UserFunction, outputs: Array, labels: Array | None, inputs: Mapping[str, Array], columns: Mapping[str, Array]
) -> float:
    """The metric's value; raises Unjudgeable when it crashes or returns anything but one finite number."""
    try:
        value = function(outputs, labels, inputs, columns)
    except (Exception, SystemExit) as error:
        raise Unjudgeable(
            f"the metric crashed with {type(error).__name__} ({_clause(error)}); run it on its own to see why."
        ) from error
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise Unjudgeable(f"the metric returned {type(value).__name__}, and must return one number.")
    if not math.isfinite(value):
        raise Unjudgeable(f"the metric returned {value}, and must return a finite number.")
    return float(value)


def _clause(error: BaseException) -> str:
    """What an error says, fit for the middle of a sentence."""
    return " ".join(str(error).replace(". ", ", ").split()).rstrip(".")


class Taken(Mapping[str, Array]):
    """Arrays by name, each read at `indices` only when it is asked for: inputs are large and few metrics look at them."""

    def __init__(self, arrays: Mapping[str, Array], indices: Ints) -> None:
        self._arrays = arrays
        self._indices = indices

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name][self._indices]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def _load_module(name: str) -> Any:
    """A module by its name, also from the folder that the command runs in."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(here)


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise GateError(f"there is no file {path} to read a metric from; give its path.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise GateError(f"{path} is not a Python file; give one.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
