"""What a student learns: its teacher's answers, what lies behind them, and labels where there are any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..train.batches import TrainingData
from ..train.objective import Objective, Samples
from ..train.supervised import class_last, spread_of
from ..train.task import Task
from .losses import angle, decoupled, soft_binary, soft_cross_entropy
from .teacher import Teacher


@dataclass(frozen=True)
class Weights:
    """How much each part of the loss counts, and at which temperature answers are compared.

    `teacher` is the share of the teacher's answers, the rest is the labels'; `features` is added. `alpha`, `beta` are those of
    decoupled distillation, or None for plain; `warmup` the share of the steps over which it grows in.
    """

    temperature: float
    teacher: float
    features: float
    alpha: float | None = None
    beta: float | None = None
    warmup: float = 0.0


class Distilled:
    """The loss of a student (see `Objective`); scored by labels where there are any, else by agreement with the teacher."""

    def __init__(
        self,
        task: Task,
        teacher: Teacher,
        teacher_task: Task,
        weights: Weights,
        labelled: Objective | None,
        matching: nn.Module | None,
    ) -> None:
        """`task` and `teacher_task` are one question on two graphs; `labelled` learns from labels, `matching` from features."""
        self._task, self._teacher, self._teacher_task = task, teacher, teacher_task
        self._weights, self._labelled, self._matching = weights, labelled, matching
        self._spread: Tensor | None = None
        self._growth = 1.0
        own = () if labelled is None else labelled.keep
        inside = () if matching is None else tuple(pair.student.name for pair in matching.pairs)
        self.keep = tuple(dict.fromkeys((task.answer.scores, *own, *inside)))
        self.metric = labelled.metric if labelled is not None else _agreement_name(task)

    def prepare(self, data: TrainingData, device: torch.device) -> None:
        """Let the teacher answer, and labels be checked."""
        self._teacher.prepare(data, device)
        if self._labelled is not None:
            self._labelled.prepare(data, device)
        if self._spread is None:
            first = next(data.in_order(_SPREAD_SAMPLES, device))
            self._spread = spread_of(self._teacher.values(first)[self._teacher_task.answer.output])

    def grow(self, step: int, steps: int) -> None:
        """The share of the teacher's loss that counts at this step: a callback of the loop."""
        self._growth = min(1.0, (step + 1) / max(1.0, self._weights.warmup * steps))

    def loss(self, batch: Samples, values: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of the batch."""
        weights, answers = self._weights, self._teacher.values(batch)
        total = weights.teacher * self._growth * self._difference(batch, values, answers)
        if self._labelled is not None:
            own = 1.0 if weights.alpha is not None else 1 - weights.teacher
            total = total + own * self._labelled.loss(batch, values)
        if self._matching is not None:
            total = total + weights.features * self._matching(values, answers)
        return total

    def score(self, batch: Samples, values: Mapping[str, Tensor]) -> Tensor:
        """Score of each sample [n]."""
        if self._labelled is not None:
            return self._labelled.score(batch, values)
        answers = self._teacher.values(batch)
        made, wanted = self._pair(values, answers)
        if self._task.kind == "classification":
            return (made.argmax(1) == wanted.argmax(1)).float().reshape(len(batch.places), -1).mean(1)
        if self._task.kind == "binary":
            return ((made > 0) == (wanted > 0)).float().mean(1)
        if self._task.kind == "embedding":
            return 1 - angle(made, wanted)
        return 1 - ((made - wanted) / self._spread).square().mean(1)

    def to_json(self) -> Any:
        """Teacher and options; what is matched lies in the pass's text and the two graphs."""
        own = None if self._labelled is None else self._labelled.to_json()
        inside = None if self._matching is None else [str(pair) for pair in self._matching.pairs]
        return ["distilled", self._task.kind, self._teacher.digest, list(vars(self._weights).items()), own, inside]

    def _difference(self, batch: Samples, values: Mapping[str, Tensor], answers: Mapping[str, Tensor]) -> Tensor:
        made, wanted = self._pair(values, answers)
        weights = self._weights
        if self._task.kind == "classification":
            if weights.alpha is None or weights.beta is None:
                return soft_cross_entropy(made, wanted, weights.temperature)
            return decoupled(made, wanted, self._targets(batch, wanted), weights.temperature, weights.alpha, weights.beta)
        if self._task.kind == "binary":
            return soft_binary(made, wanted, weights.temperature)
        if self._task.kind == "embedding":
            return angle(made, wanted).mean()
        return ((made - wanted) / self._spread).square().mean()

    def _targets(self, batch: Samples, wanted: Tensor) -> Tensor:
        """Classes [rows] that are right: by the labels, else what the teacher says."""
        if self._labelled is None or batch.labels is None or batch.labels.numel() != len(wanted):
            return wanted.argmax(1)
        return batch.labels.reshape(-1).long()

    def _pair(self, values: Mapping[str, Tensor], answers: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What student and teacher answer: scores [rows, classes], or [n, columns]."""
        task, other = self._task, self._teacher_task
        if task.kind == "classification":
            return class_last(values[task.answer.scores], task), class_last(answers[other.answer.scores], other)
        if task.kind == "binary":
            return values[task.answer.scores].flatten(1), answers[other.answer.scores].flatten(1)
        return values[task.answer.output].flatten(1), answers[other.answer.output].flatten(1)


_SPREAD_SAMPLES = 1024


def _agreement_name(task: Task) -> str:
    return {"classification": "agreement", "binary": "agreement", "embedding": "cosine"}.get(task.kind, "R2 to the teacher")
