"""A list of passes with a text form that round-trips: `canonicalize,fold-bn,quantize{mode=static}`."""

from __future__ import annotations

import dataclasses
import re
import time
import types
import typing
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import EdgewrightError, PassError, unknown
from .model import Model
from .passes import Pass, PassResult
from .verify import verify

_PLAIN = "/:.-_ ()[]<>|;@^*"  # what needs no percent-encoding in an option: everything but the text form's own signs
_ITEM = re.compile(r"\s*(?P<name>[a-z][a-z0-9-]*)\s*(?:\{(?P<options>[^{}]*)\})?\s*(?:,|$)")


@dataclass(frozen=True)
class Step:
    """What one pass of a pipeline did: seconds of wall time, and its notes."""

    text: str
    seconds: float
    changed: bool
    notes: tuple[str, ...]


class Pipeline:
    """Passes in order; `str()` gives the text, `parse` reads it back."""

    def __init__(self, passes: Iterable[Pass]) -> None:
        """Hold the passes."""
        self.passes: Sequence[Pass] = tuple(passes)

    @staticmethod
    def parse(text: str, registry: Mapping[str, type[Any]]) -> Pipeline:
        """Pipeline of its text; raises PassError naming an unknown pass or option with the nearest known one."""
        passes: list[Pass] = []
        position = 0
        while position < len(text.rstrip()):
            match = _ITEM.match(text, position)
            if match is None:
                raise PassError(f"cannot read the pipeline at {text[position:]!r}; write name{{option=value,...}},name.")
            if match["name"] not in registry:
                raise PassError(f"{unknown('pass', match['name'], registry)}")
            passes.append(_make(registry[match["name"]], match["options"] or ""))
            position = match.end()
        return Pipeline(passes)

    def __str__(self) -> str:
        """The text form; options at their default are left out."""
        return ",".join(pass_text(item) for item in self.passes)

    def run(
        self,
        model: Model,
        given: Mapping[type[Any], Any] | None = None,
        after: Callable[[Pass, Model, Step], None] | None = None,
        verify_each: bool = True,
    ) -> tuple[Model, list[Step]]:
        """Run every pass; `given` holds an instance for each type that a pass needs; `after` sees each result.

        Raises PassError naming the pass when something is not given, the pass fails, or the model it made does not verify.
        """
        steps: list[Step] = []
        for item in self.passes:
            text = pass_text(item)
            needed = item.needs
            if needed is not None and needed not in (given or {}):
                raise PassError(f"pass {text!r} needs {needed.__name__} (data or a target), which this command does not give.")
            start = time.perf_counter()
            try:
                result: PassResult = item.run(model, (given or {}).get(needed) if needed is not None else None)
            except EdgewrightError:
                raise
            except Exception as error:
                raise PassError(f"pass {text!r} failed on this model: {type(error).__name__}: {error}") from error
            if verify_each:
                try:
                    verify(result.model)
                except Exception as error:
                    raise PassError(f"pass {text!r} made a model that does not verify: {error}") from error
            step = Step(text, time.perf_counter() - start, result.changed, result.notes)
            steps.append(step)
            model = result.model
            if after is not None:
                after(item, model, step)
        return model, steps


def pass_text(item: Pass) -> str:
    """Text of one pass, options at their default left out."""
    options = []
    for field in dataclasses.fields(typing.cast(Any, item)):
        value = getattr(item, field.name)
        if value != _default(field):
            options.append(f"{field.name.replace('_', '-')}={_print(value)}")
    return item.name + (f"{{{','.join(options)}}}" if options else "")


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _make(kind: type[Any], options: str) -> Pass:
    """Instance of a pass from the text of its options."""
    types_ = typing.get_type_hints(kind)
    fields = {field.name.replace("_", "-"): field for field in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for option in filter(None, (part.strip() for part in options.split(","))):
        name, equals, value = option.partition("=")
        if name not in fields:
            raise PassError(f"pass {kind.name!r}: {unknown('option', name, fields)}")
        if not equals:
            raise PassError(f"pass {kind.name!r}: option {name!r} has no value; write {name}=VALUE.")
        field = fields[name]
        values[field.name] = _parse(value, types_[field.name], f"pass {kind.name!r}, option {name!r}")
    try:
        return typing.cast(Pass, kind(**values))
    except (TypeError, ValueError) as error:
        raise PassError(f"pass {kind.name!r}: {error}.") from error


def _print(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "+".join(_print(item) for item in value)
    return urllib.parse.quote(value, safe=_PLAIN) if isinstance(value, str) else str(value)


def _parse(text: str, kind: Any, where: str) -> Any:
    """Value of `kind` (bool, int, float, str, Literal, tuple of these joined by '+', or optional)."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if text == "None":
            return None
        kinds = [item for item in typing.get_args(kind) if item is not type(None)]
        return _parse(text, kinds[0], where)
    if origin is typing.Literal:
        choices = [str(item) for item in typing.get_args(kind)]
        if text not in choices:
            raise PassError(f"{where}: {unknown('value', text, choices)}")
        return typing.get_args(kind)[choices.index(text)]
    if origin is tuple:
        return tuple(_parse(part, typing.get_args(kind)[0], where) for part in text.split("+") if part)
    if kind is str:
        return urllib.parse.unquote(text)
    if kind is bool:
        if text not in ("true", "false"):
            raise PassError(f"{where}: {text!r} is neither true nor false.")
        return text == "true"
    try:
        return kind(text)
    except ValueError as error:
        raise PassError(f"{where}: {text!r} is not a {kind.__name__}.") from error
