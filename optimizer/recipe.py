"""The recipe: what the user wishes of one compile, from flags, from `edgewright.toml`, or from Python."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..calibration.classes import read_classes
from ..core.errors import UsageError, unknown
from ..runtimes.contract import PRECISIONS, Precision
from ..runtimes.registry import NAMES
from .gates.text import parse_gates
from .recipes import RECIPES
from .train.budget import Budget

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Objective = Literal["latency", "size", "ram"]
_PATHS = ("out", "store", "ledger", "measurements", "emulate")
_NAME_LENGTH = 100
_MOST_THREADS = 1024
_SEEDS = 1 << 63
_MOST_AUDIT = 0.25
_KINDS: Mapping[type, str] = {int: "a whole number", bool: "true or false", str: "a text"}
_FILES = ("data", "accept", "search", "calib", "audit", "teacher", "student")
_USER_CODE = ("loss", "optimizer", "augment")


@dataclass(frozen=True)
class Recipe:
    """One compile.

    `model` and `data` are paths, `module:function`, or objects of the Python API. `accept`, `search`, `calib`, `audit` are
    data sets of their own for these splits; `audit` may be a share (below 1) or a number of samples to set aside, which nothing
    is chosen or judged by. `search_samples` and `calib_samples` bound what is taken from the rest of `data`.
    `classes` are names of the classes by the model's number, 0 first.
    `inputs` maps model inputs to arrays of the data. `shapes` fixes free axes. `measurements` is a file of earlier timings,
    `ledger` the file of looks at the judging data, beside these by default. `emulate` is an arm64 root that
    `edgewright emulation prepare` made.
    `recipes` are names of pipelines that are tried beside the plain model, `pipelines` texts of such; `budget` bounds the time
    that all of them train together ("10m"). `teacher` is a larger model to distil from, `student` an architecture to distil
    into; `loss`, `optimizer` and `augment` are the user's own code, as `module:function`. `keras_steps` are texts of what
    TFMOT is to do with a Keras file.
    """

    model: Any
    data: Any = None
    profiles: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()
    out: Path = Path("dist")
    name: str | None = None
    weights: Any = None
    objective: Objective = "latency"
    precisions: tuple[Precision, ...] = PRECISIONS
    runtimes: tuple[str, ...] = NAMES
    preprocess: str = ""
    labels: str | None = None
    classes: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    accept: Any = None
    search: Any = None
    calib: Any = None
    audit: Any = None
    search_samples: int = 512
    calib_samples: int = 256
    threads: int | None = None
    seed: int = 0
    store: Path = Path(".edgewright")
    ledger: Path | None = None
    measurements: Path | None = None
    emulate: Path | None = None
    trust: bool = False
    recipes: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    keras_steps: tuple[str, ...] = ()
    budget: str | None = None
    teacher: Any = None
    student: Any = None
    loss: str | None = None
    optimizer: str | None = None
    augment: str | None = None

    def __post_init__(self) -> None:
        """Check what needs no file; raises UsageError."""
        if not self.profiles:
            raise UsageError("no device profile is given; name one with --profile (`edgewright profiles list` shows them).")
        if self.data is None and self.accept is None:
            raise UsageError("no data are given; an artifact is released only when data prove it: add --data FILE.")
        if self.name is not None and not _is_file_name(self.name):
            raise UsageError(
                f"the name {self.name[:80]!r} cannot be part of a file's name; "
                f"use up to {_NAME_LENGTH} letters, digits, '.', '_' or '-'."
            )
        parse_gates(self.gates)
        for precision in self.precisions:
            if precision not in PRECISIONS:
                raise UsageError(unknown("precision", precision, PRECISIONS))
        for name in self.recipes:
            if name not in RECIPES:
                raise UsageError(f"{unknown('recipe', name, RECIPES).rstrip('.')} (`edgewright recipes` shows them).")
        self._check_training()
        for runtime in self.runtimes:
            if runtime not in NAMES:
                raise UsageError(unknown("runtime", runtime, NAMES))
        if self.objective not in ("latency", "size", "ram"):
            raise UsageError(unknown("objective", self.objective, ("latency", "size", "ram")))
        for count in ("search_samples", "calib_samples"):
            if getattr(self, count) < 1:
                raise UsageError(f"{count.replace('_', '-')} is {getattr(self, count)}; it must be at least 1.")
        _check_audit(self.audit)
        if self.threads is not None and not 1 <= self.threads <= _MOST_THREADS:
            raise UsageError(f"threads is {self.threads}; it must be at least 1 and at most {_MOST_THREADS}.")
        if not 0 <= self.seed < _SEEDS:
            raise UsageError(f"seed is {self.seed}; it must be at least 0 and below {_SEEDS}.")

    def _check_training(self) -> None:
        """What only training uses must not be given where nothing trains; raises UsageError."""
        for name in _USER_CODE:
            text = getattr(self, name)
            if text is not None and ":" not in text:
                raise UsageError(f"{name} is {text!r}; name a function of yours as module:function.")
        if self.budget is not None:
            Budget.parse(self.budget)
        if self.recipes or self.pipelines:
            return
        for name in ("budget", "teacher", "student", *_USER_CODE):
            if getattr(self, name) is not None:
                raise UsageError(
                    f"--{name} is given and nothing trains; add --recipe NAME or --pipeline 'TEXT', or leave it out."
                )


def _check_audit(audit: Any) -> None:
    """A number must be a share of at most a quarter, or whole; raises UsageError."""
    if isinstance(audit, (int, float)) and not (0 < audit <= _MOST_AUDIT or (audit >= 1 and float(audit).is_integer())):
        raise UsageError(
            f"audit is {audit}; give a share of at most {_MOST_AUDIT}, a whole number of samples, or a data set of its own."
        )


def _is_file_name(name: str) -> bool:
    """Whether a name stays in its folder and can be typed."""
    return 0 < len(name) <= _NAME_LENGTH and name[0] != "." and all(letter.isalnum() or letter in "._- " for letter in name)


def read_recipe(path: Path, overrides: Mapping[str, Any]) -> Recipe:
    """Recipe of a TOML file, relative paths taken from its folder; `overrides` (flags) win. Raises UsageError."""
    try:
        declared: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the recipe {path}: {error.strerror or error}; check the path.") from error
    except (ValueError, RecursionError) as error:  # no UTF-8, or no TOML
        raise UsageError(f"the recipe {path} is not TOML: {str(error).rstrip('.')}; correct it there.") from error
    fields = {item.name: item for item in dataclasses.fields(Recipe)}
    values: dict[str, Any] = {}
    for key, value in declared.items():
        name = key.replace("-", "_")
        if name not in fields:
            raise UsageError(f"{path}: {unknown('key', key, [item.replace('_', '-') for item in fields])}")
        if name in values:
            raise UsageError(f"{path} gives {key!r} twice, with '-' and with '_'; remove one of the two.")
        values[name] = _typed(name, value, path)
    if "model" not in values and "model" not in overrides:
        raise UsageError(f'{path} names no model; add `model = "FILE"`.')
    return Recipe(**{**values, **overrides})


def _typed(name: str, value: Any, path: Path) -> Any:
    """A TOML value as the recipe's field wants it; raises UsageError."""
    lists = ("profiles", "gates", "precisions", "runtimes", "recipes", "pipelines", "keras_steps")
    if name in lists:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise UsageError(f"{path}: {name} must be a list of texts, not {value!r}; correct it there.")
        return tuple(items)
    if name == "audit" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    if name in ("model", "weights", *_FILES, *_PATHS):
        if not isinstance(value, str):
            raise UsageError(f"{path}: {name} must be a text, not {value!r}; put it in quotes.")
        return value if _is_callable(value) else path.parent / value
    if name == "shapes":
        if not isinstance(value, dict) or not all(_is_shape(shape) for shape in value.values()):
            raise UsageError(f"{path}: shapes must be a table of lists of sizes; write for example {{ x = [1, 3, 224, 224] }}.")
        return {key: tuple(shape) for key, shape in value.items()}
    if name == "classes":
        if isinstance(value, str):
            return read_classes(path.parent / value if (path.parent / value).is_file() else value)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise UsageError(f"{path}: classes must be a list of names or a file with one a line, not {value!r}.")
        return read_classes(value)
    if name == "inputs":
        if not isinstance(value, dict) or not all(isinstance(array, str) for array in value.values()):
            raise UsageError(f'{path}: inputs must be a table of names of arrays; write for example {{ image = "x" }}.')
        return value
    kinds: dict[str, type] = {
        "seed": int,
        "threads": int,
        "search_samples": int,
        "calib_samples": int,
        "trust": bool,
    }
    kind = kinds.get(name, str)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UsageError(f"{path}: {name} must be {_KINDS[kind]}, not {value!r}; correct it there.")
    return value


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in value)


def _is_callable(value: str) -> bool:
    """Whether a source is `module:function`."""
    module, colon, function = value.partition(":")
    return bool(colon) and function.isidentifier() and all(part.isidentifier() for part in module.split("."))
