"""One distillation: teacher, student and data put together, and the training that follows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from ...core.errors import PassError
from ...ir.model import Model
from ...ir.passes import PassResult
from ...ir.pipeline import pass_text
from ..train.batches import opened
from ..train.device import settled
from ..train.loop import fit
from ..train.module import GraphModule
from ..train.needs import TrainingNeeds
from ..train.objective import Objective
from ..train.supervised import ByUser, Supervised
from ..train.task import Kind, Task, answer_of, find_task, training_labels, unlabelled_task
from .learning import Distilled, Weights
from .matching import matcher
from .pairs import Pair, automatic_pairs, named_pairs
from .students import in_place_of
from .teacher import Teacher

if TYPE_CHECKING:
    from .distill import Distill

_UNIT_SAMPLES, _UNIT_TOLERANCE = 64, 1e-3
_FEWEST_UNIT_COLUMNS = 8


class Lesson:
    """What one `distill` does."""

    def __init__(self, options: Distill, model: Model, given: TrainingNeeds) -> None:
        """Put teacher and student together; raises PassError where they do not fit."""
        self._options, self._given = options, given
        self._student = model if given.student is None else in_place_of(model, given.student)
        self._teacher_model = given.reference if given.teacher is None else given.teacher
        self._pairs = self._paired()
        kept = tuple(pair.teacher.name for pair in self._pairs)
        self._teacher = Teacher(self._teacher_model, self._student, kept, mixed=options.mixed)

    def teach(self) -> PassResult:
        """Train the student."""
        options, given = self._options, self._given
        module = GraphModule(self._student)
        matching = matcher(self._pairs, given.seed) if self._pairs else None
        objective = self.objective(matching)
        parts = {} if matching is None else {"matching": matching}
        key = [pass_text(options), [str(pair) for pair in self._pairs]]
        fitted = fit(module, objective, given, options, key=key, parts=parts, callbacks=[objective.grow])
        return PassResult(module.to_model(), True, (self._told(), *fitted.told(objective.metric)))

    def objective(self, matching: nn.Module | None = None) -> Distilled:
        """What the student is to learn; `matching` compares features."""
        options = self._options
        task, labelled = self._task()
        if labelled is None and not {"kd", "dkd"} & set(options.method):
            raise PassError("distill: features alone teach no answer where there are no labels; add kd to method.")
        decouples = "dkd" in options.method and task.kind == "classification" and task.classes > 2
        weights = Weights(
            temperature=options.temperature,
            teacher=self._teacher_weight(has_labels=labelled is not None, decouples=decouples),
            features=options.feature_weight,
            alpha=options.alpha if decouples else None,
            beta=options.beta if decouples else None,
            warmup=options.dkd_warmup if decouples else 0.0,
        )
        places = answer_of(self._teacher_model)
        axis = task.axis if places.shape == task.answer.shape else _first_wide(places.shape)
        return Distilled(task, self._teacher, replace(task, answer=places, axis=axis), weights, labelled, matching)

    def _teacher_weight(self, *, has_labels: bool, decouples: bool) -> float:
        if not {"kd", "dkd"} & set(self._options.method):
            return 0.0
        return 1.0 if decouples or not has_labels else self._options.teacher_weight

    def _task(self) -> tuple[Task, Objective | None]:
        """The question, and what is learned of it from labels (or the user's loss, or the input itself), if anything."""
        options, given = self._options, self._given
        known = training_labels(given.train)
        wanted = None if options.task == "auto" else options.task
        task = find_task(self._student, known, wanted)
        if task is None:
            return self._without_labels(wanted), None if given.user.loss is None else ByUser(given.user.loss)
        if given.user.loss is not None:
            return task, ByUser(given.user.loss)
        learns = task.kind == "reconstruction" or (known is not None and task.kind != "embedding")
        if not learns or options.labels == "ignore":
            return task, None
        return task, Supervised(task, smoothing=options.smoothing)

    def _without_labels(self, wanted: Kind | None) -> Task:
        """Classes where the graph says so, embeddings where the teacher's answers all have length one, else values."""
        task = unlabelled_task(self._student, self._teacher_model, wanted)
        if wanted is not None or task.kind != "regression" or task.answer.columns < _FEWEST_UNIT_COLUMNS:
            return task
        device = torch.device("cpu")
        with settled(device, self._given.threads):
            first = next(opened(self._given.train, self._given.progress).in_order(_UNIT_SAMPLES, device))
            lengths = self._teacher.values(first)[self._teacher.answer.output].flatten(1).norm(dim=1)
        is_unit = bool(((lengths - 1).abs() < _UNIT_TOLERANCE).all())
        return replace(task, kind="embedding") if is_unit else task

    def _paired(self) -> tuple[Pair, ...]:
        options = self._options
        if "features" not in options.method:
            return ()
        if options.pairs:
            return named_pairs(options.pairs, self._student, self._teacher_model)
        return automatic_pairs(self._student, self._teacher_model)

    def _told(self) -> str:
        who = "the ingested model" if self._given.teacher is None else "the user's teacher"
        whom = "" if self._given.student is None else ", a student of the user's"
        matched = f", matching {', '.join(map(str, self._pairs))}" if self._pairs else ""
        return f"taught by {who}{whom} ({'+'.join(self._options.method)}){matched}"


def _first_wide(shape: tuple[int, ...]) -> int:
    return next((place for place, size in enumerate(shape, start=1) if size > 1), 1)
