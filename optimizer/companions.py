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

    Raises UsageError where torch is not installed, or a teacher or student is given that no pass learns from; PassError where
    they do not fit; and what `ingest` and the user's code raise.
    """
    if not any(variant.passes or variant.trains_here for variant in variants):
        return None
    if find_spec("torch") is None:
        raise UsageError("pipelines need torch, which is not installed; pip install 'edgewright[torch]'.")
    distils = any(isinstance(item, Distill) for variant in variants for item in variant.passes)
    for role in ("teacher", "student"):
        if getattr(recipe, role) is not None and not distils:
            raise UsageError(f"--{role} is given and no pipeline distils; add distill to one, or leave it out.")
    from .train.form import training_form

    user = UserCode.load(recipe.loss, recipe.optimizer, recipe.augment)
    reference = training_form(ingested.model)
    given = (samples, recipe.trust, progress)
    student = None if recipe.student is None else _student(recipe.student, reference, *given)
    teacher = None if recipe.teacher is None else _teacher(recipe.teacher, student or reference, *given)
    return Company(reference, teacher, student, user)


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
