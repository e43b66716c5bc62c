"""A student of another architecture in a model's place: the same inputs and outputs, under the same names."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import onnx_ir

from ...core.errors import PassError
from ...core.executor import TensorSpec
from ...ir.model import Model


def in_place_of(model: Model, student: Model) -> Model:
    """`student` with the names of `model`'s inputs and outputs, in order; raises PassError where shapes or types differ."""
    for what, ours, theirs in (("input", student.inputs, model.inputs), ("output", student.outputs, model.outputs)):
        _check(what, ours, theirs)
    result = student.clone()
    graph = result.graph
    values = [value for value in graph.inputs if value.name not in graph.initializers]
    wanted = [spec.name for spec in (*model.inputs, *model.outputs)]
    _rename(graph, [*values, *graph.outputs], wanted)
    return result


def _check(what: str, ours: Sequence[TensorSpec], theirs: Sequence[TensorSpec]) -> None:
    if len(ours) != len(theirs):
        raise PassError(f"the student has {len(ours)} {what}s and the model {len(theirs)}; give a student with as many.")
    for own, other in zip(ours, theirs, strict=True):
        fits = len(own.shape) == len(other.shape) and all(
            a is None or b is None or a == b for a, b in zip(own.shape[1:], other.shape[1:], strict=True)
        )
        if not fits or own.dtype != other.dtype:
            raise PassError(
                f"the student's {what} {own.name!r} is {own.dtype} {list(own.shape[1:])} a sample and the model's "
                f"{other.name!r} {other.dtype} {list(other.shape[1:])}; give a student that takes and answers the same."
            )


def _rename(graph: onnx_ir.Graph, values: Sequence[onnx_ir.Value], names: Sequence[str]) -> None:
    """Give `values` their names; other values that have one of them step aside."""
    others = [*graph.initializers.values(), *(made for node in graph for made in node.outputs)]
    taken = {value.name for value in (*graph.inputs, *others)} | set(names)
    for other in others:
        if other.name in names and other not in values:
            other.name = _free(str(other.name), taken)
            taken.add(other.name)
    # By way of names that nothing has, for two values may change theirs.
    for number, value in enumerate(values):
        value.name = f"{value.name}/renamed/{number}"
    for value, name in zip(values, names, strict=True):
        value.name = name


def _free(name: str, taken: Collection[str | None]) -> str:
    """`name` with the first number that makes it one that nothing has."""
    number = 1
    while f"{name}/{number}" in taken:
        number += 1
    return f"{name}/{number}"
