"""Models that take part in training beside the one that is compiled: a larger teacher, a student of another architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import onnx_ir

from ..core.errors import ModelError, UsageError
from ..core.executor import TensorSpec
from ..core.progress import Progress
from ..ir.model import Model
from . import prepare
from .ingest.ingest import Ingested, ingest
from .recipe import Recipe
from .train.user import UserCode
from .variants import Variant


@dataclass(frozen=True)
class Company:
    """What training passes are given beside data: models in training form, and the user's own code."""

    reference: Model
    teacher: Model | None
    student: Model | None
    user: UserCode


def gather(
    recipe: Recipe, variants: Sequence[Variant], ingested: Ingested, samples: Mapping[str, Any], progress: Progress
) -> Company | None:
    """The company of these variants, or None where none of them needs any; `samples` are arrays [n, ...] by input.

    Raises UsageError where something trains and torch is not installed, and what `load_companion` and the user's code raise.
    """
    if not any(variant.passes or variant.trains for variant in variants):
        return None
    if find_spec("torch") is None and any(variant.trains for variant in variants):
        raise UsageError("training needs torch, which is not installed; pip install 'edgewright[torch]'.")
    user = UserCode.load(recipe.loss, recipe.optimizer, recipe.augment)
    reference = prepare.training_start(ingested)
    teacher, student = (
        None if source is None else load_companion(role, source, reference, samples, recipe.trust, progress)
        for role, source in (("teacher", recipe.teacher), ("student", recipe.student))
    )
    return Company(reference, teacher, student, user)


def load_companion(
    role: str, source: Any, reference: Model, samples: Mapping[str, Any], trust: bool, progress: Progress
) -> Model:
    """The model `source` in training form, its inputs and outputs named as those of `reference` are, in their order.

    `role` is "teacher" or "student", `samples` are arrays [n, ...] by input of the reference. Raises ModelError where shapes or
    types of inputs or outputs differ, and what `ingest` raises.
    """
    ingested = ingest(source, samples=samples, trust=trust, progress=progress)
    found = ingested.model
    for what, ours, theirs in (("inputs", reference.inputs, found.inputs), ("outputs", reference.outputs, found.outputs)):
        if len(ours) != len(theirs) or not all(map(_fits, ours, theirs)):
            raise ModelError(
                f"the {role} has the {what} {_told(theirs)} and the model has {_told(ours)}; give a {role} that takes and "
                "answers the same."
            )
    return prepare.training_start(replace(ingested, model=_renamed(found, reference)))


def _fits(ours: TensorSpec, theirs: TensorSpec) -> bool:
    """Whether two tensors are the same but for the name and the batch; a free size fits any."""
    if ours.dtype != theirs.dtype or len(ours.shape) != len(theirs.shape):
        return False
    return all(None in pair or pair[0] == pair[1] for pair in zip(ours.shape[1:], theirs.shape[1:], strict=True))


def _told(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(
        f"{spec.name}:{spec.dtype}[{'x'.join('n' if s is None else str(s) for s in spec.shape)}]" for spec in specs
    )


def _renamed(model: Model, reference: Model) -> Model:
    """`model` with the names of the reference's inputs and outputs; values inside that have such a name get another."""
    result = model.clone()
    ends = [value for value in result.graph.inputs if value.name not in result.graph.initializers] + list(result.graph.outputs)
    names = [spec.name for spec in (*reference.inputs, *reference.outputs)]
    wanted = dict(zip(ends, names, strict=True))
    if all(value.name == name for value, name in wanted.items()):
        return model
    inside = [
        *result.graph.initializers.values(),
        *(value for node in onnx_ir.traversal.RecursiveGraphIterator(result.graph) for value in node.outputs),
    ]
    taken = {str(value.name) for value in (*ends, *inside)} | set(names)
    for value in ends:
        value.name = _fresh(str(value.name), taken)
    for value in inside:
        if value not in wanted and value.name in names:
            value.name = _fresh(str(value.name), taken)
    for value, name in wanted.items():
        value.name = name
    return result


def _fresh(name: str, taken: set[str]) -> str:
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    taken.add(f"{name}_{number}")
    return f"{name}_{number}"
