"""Samples from a function of the user's, `package.module:function` or `file.py:function`, which he named himself."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError, UsageError, unknown
from ..spool import Rows, RowWriter, TextRows
from .arrays import ArraySource

_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_LIMIT_BYTES = 32 << 30
_LIMIT_SAMPLES = 100_000_000
_BUFFER_ROWS = 64
_counter = itertools.count()


def is_callable_name(text: str) -> bool:
    """Whether `text` names a function in a module or in a Python file."""
    return _NAME.fullmatch(text) is not None or ".py:" in text


def function_of(text: str) -> Callable[..., Any]:
    """The named function or class; imports its module. Raises UsageError where it is not there."""
    module_name, _, function_name = text.rpartition(":")
    module = _load_file(Path(module_name)) if module_name.endswith(".py") else _load_module(module_name)
    function: Callable[..., Any] | None = getattr(module, function_name, None)
    if not callable(function):
        names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise UsageError(unknown(f"function in {module_name}", function_name, names))
    return function


def call(text: str) -> Any:
    """What the named function returns; raises UsageError where it is not there and DataError where it fails."""
    function = function_of(text)
    try:
        return function()
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise DataError(
            f"{text} failed with {type(error).__name__} ({_line(error)}); call it on its own to see why."
        ) from error


def from_samples(samples: Iterable[Any], where: str, labels: str | None, inputs: Mapping[str, str] | None) -> ArraySource:
    """Source over an iterable of samples: a mapping of arrays, a pair (x, y), or x alone; numbers are kept on disk.

    Raises DataError where samples differ in names, shapes or types.
    """
    writers: dict[str, RowWriter] = {}
    texts: dict[str, list[str]] = {}
    waiting: dict[str, list[NDArray[Any]]] = {}
    names: set[str] | None = None
    for count, sample in enumerate(_iterate(samples, where)):
        if count >= _LIMIT_SAMPLES:
            raise DataError(f"{where} gives more than {_LIMIT_SAMPLES} samples; let it end.")
        fields = _fields(sample)
        names = set(fields) if names is None else names
        if set(fields) != names:
            raise DataError(f"sample {count} of {where} has other names than sample 0; give every sample the same arrays.")
        for name, value in fields.items():
            if value.dtype.kind == "U" and not value.shape:
                texts.setdefault(name, []).append(str(value[()]))
                continue
            if value.dtype.kind not in "biuf":
                raise DataError(f"{name!r} of sample {count} of {where} is of type {value.dtype}; give numbers or a string.")
            writer = writers.setdefault(name, RowWriter(value.shape, value.dtype, where, _LIMIT_BYTES))
            if value.shape != writer.shape or value.dtype != writer.dtype:
                raise DataError(
                    f"{name!r} of sample {count} of {where} is {value.dtype} {list(value.shape)} where the first is "
                    f"{writer.dtype} {list(writer.shape)}; give all one shape and type."
                )
            rows = waiting.setdefault(name, [])
            rows.append(value)
            if len(rows) == _BUFFER_ROWS:
                writer.write(np.stack(rows))
                rows.clear()
    for name, rows in waiting.items():
        if rows:
            writers[name].write(np.stack(rows))
    arrays: dict[str, Rows] = {name: writer.rows() for name, writer in writers.items()}
    arrays.update({name: TextRows(values) for name, values in texts.items()})
    if not arrays:
        raise DataError(f"{where} gives no samples; let it yield at least three.")
    return ArraySource(where, arrays, labels, inputs)


def _iterate(samples: Iterable[Any], where: str) -> Iterator[Any]:
    try:
        if hasattr(samples, "__len__") and hasattr(samples, "__getitem__"):
            listed: Any = samples
            for index in range(len(listed)):
                yield listed[index]
        else:
            yield from samples
    except DataError:
        raise
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise DataError(f"{where} failed with {type(error).__name__} ({_line(error)}); iterate over it to see why.") from error


def _fields(sample: Any) -> dict[str, NDArray[Any]]:
    if isinstance(sample, Mapping):
        return {str(name): np.asarray(value) for name, value in sample.items()}
    if isinstance(sample, tuple) and len(sample) == 2:
        return {"x": np.asarray(sample[0]), "y": np.asarray(sample[1])}
    return {"x": np.asarray(sample)}


def _load_module(name: str) -> Any:
    here = str(Path.cwd())
    is_added = here not in sys.path
    if is_added:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise UsageError(f"cannot import {name!r} ({_line(error)}); run from the folder that holds it.") from error
    finally:
        if is_added:
            sys.path.remove(here)


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise UsageError(f"there is no file {path}; check the path.")
    spec = importlib.util.spec_from_file_location(f"_edgewright_data_{next(_counter)}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"cannot import {path}; it is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise UsageError(f"cannot import {path} ({_line(error)}); run it on its own to see why.") from error
    return module


def _line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__).replace(". ", ", ").rstrip(".")[:160]
