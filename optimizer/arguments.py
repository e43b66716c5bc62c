"""From the arguments of a Python call to a recipe: what is near enough is taken, the rest is refused in one sentence."""

from __future__ import annotations

import dataclasses
import operator
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..calibration.classes import read_classes
from ..core.errors import UsageError, unknown
from .recipe import Recipe

_LISTS = ("profiles", "gates", "precisions", "runtimes", "recipes", "pipelines", "keras_steps")
_PATHS = ("out", "store", "ledger", "measurements", "emulate")
_DATA = ("data", "accept", "search", "calib", "audit")
_TEXTS = ("name", "objective", "preprocess", "labels", "group", "budget", "loss", "optimizer", "augment")
_COUNTS = ("search_samples", "calib_samples", "threads", "seed")


def recipe_of(model: Any, options: Mapping[str, Any]) -> Recipe:
    """The recipe of `edgewright.compile(model, **options)`; None is the default. Raises UsageError."""
    known = [item.name for item in dataclasses.fields(Recipe) if item.name != "model"]
    for name in options:
        if name not in known:
            raise UsageError(unknown("option", name, known))
    values = {name: _value(name, value) for name, value in options.items() if value is not None}
    return Recipe(model=model, **values)


def _value(name: str, value: Any) -> Any:
    if name in _DATA:
        return _data(name, value)
    if name in _LISTS:
        return _texts(name, value)
    if name in _PATHS or (name == "weights" and isinstance(value, (str, os.PathLike))):
        if not isinstance(value, (str, os.PathLike)):
            raise _refused(name, value, "a text or a path")
        return Path(value)
    if name in _TEXTS and not isinstance(value, str):
        raise _refused(name, value, "a text")
    if name in _COUNTS:
        return _count(name, value)
    if name == "trust" and not isinstance(value, bool):
        raise _refused(name, value, "True or False")
    if name == "classes":
        if not isinstance(value, (str, Path)) and not _is_list_of(value, str):
            raise _refused(name, value, "a list of names, or a file with one a line")
        return read_classes(value) if value else ()
    if name == "inputs" and not (isinstance(value, Mapping) and _is_list_of([*value, *value.values()], str)):
        raise _refused(name, value, "a mapping of model inputs to names of arrays")
    if name == "shapes":
        return _shapes(value)
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    """One text, or several; a profile may be a path."""
    kinds = (str, os.PathLike) if name == "profiles" else (str,)
    items = (value,) if isinstance(value, kinds) else value
    if not _is_list_of(items, *kinds):
        raise _refused(name, value, "a text or a list of texts")
    return tuple(str(item) for item in items)


def _data(name: str, value: Any) -> Any:
    if isinstance(value, tuple):
        if len(value) != 2:
            raise UsageError(f'{name} is a tuple of {len(value)}; give (x, y), or arrays by name as {{"x": x, "y": y}}.')
        return {"x": value[0], "y": value[1]}
    if isinstance(value, (list, set, bytes)) or (isinstance(value, bool) and name == "audit"):
        raise _refused(name, value, 'a path, "module:function", (x, y), an array, or arrays by name as {"x": x, "y": y}')
    return value


def _count(name: str, value: Any) -> int:
    if not isinstance(value, (bool, np.bool_)):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise _refused(name, value, "a whole number")


def _shapes(value: Any) -> dict[str, tuple[int, ...]]:
    told = 'a mapping of model inputs to sizes, as {"x": (1, 3, 224, 224)}'
    if not isinstance(value, Mapping) or not _is_list_of(list(value), str):
        raise _refused("shapes", value, told)
    made: dict[str, tuple[int, ...]] = {}
    for name, sizes in value.items():
        if not isinstance(sizes, (list, tuple)):
            raise _refused("shapes", value, told)
        made[name] = tuple(_count("a size in shapes", size) for size in sizes)
        if any(size < 1 for size in made[name]):
            raise UsageError(f"shapes gives {name!r} the sizes {list(made[name])}; each must be at least 1.")
    return made


def _is_list_of(value: Any, *kinds: type) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes)) and all(isinstance(v, kinds) for v in value)


def _refused(name: str, value: Any, wanted: str) -> UsageError:
    shown = " ".join(repr(value).split()) if isinstance(value, (str, int, float, bytes, Path)) else "a value"
    return UsageError(f"{name} is {shown[:60]} of type {type(value).__name__}; give {wanted}.")
