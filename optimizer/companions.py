"""Models that take part in training beside the one that is compiled: a larger teacher, a student of another architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ..core.errors import UsageError
from ..core.progress import Progress
from ..ir.model import Model
from .distill.distill import Distill
from .distill.students import in_place_of
from .ingest.ingest import Ingested, ingest
from .recipe import Recipe
from .train.needs import TrainingNeeds
from .train.user import UserCode
from .training import takes_student
from .variants import Variant

_OF_TRAINING = ("budget", "loss", "optimizer", "augment")


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

    Raises UsageError where torch is not installed, or something is given that no pass takes; PassError where teacher and
    student do not fit; and what `ingest` and the user's code raise.
    """
    _refuse_what_nothing_takes(recipe, variants)
    if not any(variant.passes or variant.trains_here for variant in variants):
        return None
    if find_spec("torch") is None:
        raise UsageError("pipelines need torch, which is not installed; pip install 'edgewright[torch]'.")
    from .train.form import training_form

    user = UserCode.load(recipe.loss, recipe.optimizer, recipe.augment)
    reference = training_form(ingested.model)
    given = (samples, recipe.trust, progress)
    student = None if recipe.student is None else _student(recipe.student, reference, *given)
    teacher = None if recipe.teacher is None else _teacher(recipe.teacher, student or reference, *given)
    return Company(reference, teacher, student, user)


def _refuse_what_nothing_takes(recipe: Recipe, variants: Sequence[Variant]) -> None:
    """Raise UsageError for what is given and would change nothing, and for passes whose work a student would replace."""
    for name in _OF_TRAINING:
        if getattr(recipe, name) is not None and not any(variant.trains_here for variant in variants):
            raise UsageError(f"--{name} is given and no pipeline trains; add a pass that does, or leave it out.")
    passes = [item for variant in variants for item in variant.passes]
    takers = {
        # What sparsifies and what trains int8 learn from a teacher too; only distill puts a student in the model's place.
        "teacher": any(isinstance(item, Distill) for item in passes) or any(variant.trains_scheme for variant in variants),
        "student": any(takes_student(item) for item in passes),
    }
    for role, is_taken in takers.items():
        if getattr(recipe, role) is not None and not is_taken:
            raise UsageError(f"--{role} is given and no pipeline distils; add distill to one, or leave it out.")
    if recipe.student is None:
        return
    for variant in variants:
        place = next((place for place, item in enumerate(variant.passes) if takes_student(item)), 0)
        lost = next((item for item in variant.passes[:place] if item.needs is TrainingNeeds), None)
        if lost is not None:
            raise UsageError(
                f"the pipeline {variant.name!r} has {lost.name} before distill, and --student takes the place of what it "
                "makes; put distill first, or leave --student out."
            )


def _teacher(source: Any, student: Model, samples: Mapping[str, Any], trust: bool, progress: Progress) -> Model:
    """The teacher in training form; raises PassError where it takes or answers something else than `student`."""
    from .distill.teacher import Teacher
    from .train.form import training_form

    model = training_form(ingest(source, samples=samples, trust=trust, progress=progress).model)
    Teacher(model, student)
    return model


def _student(source: Any, reference: Model, samples: Mapping[str, Any], trust: bool, progress: Progress) -> Model:
    """The student in training form, its inputs and outputs named as the reference's; raises PassError where they differ."""
    from .train.form import training_form

    return in_place_of(reference, training_form(ingest(source, samples=samples, trust=trust, progress=progress).model))
