"""Learning from labels, from the input itself, or by the user's own loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...core.errors import DataError, PassError
from ...ir.model import Model
from .batches import TrainingData
from .needs import TrainingNeeds
from .objective import Objective, Samples
from .task import Kind, Task, check_labels, find_task, training_labels
from .user import UserFunction, blame

_SPREAD_SAMPLES = 4096


class Supervised:
    """The default loss and score of a task (see `Objective`).

    classification: cross-entropy on the scores before the softmax, `smoothing` of the labels (1512.00567, section 7) optional,
    and top-1, over positions where labels have them. binary: binary cross-entropy on the scores before the sigmoid, and the
    share that is right. regression and reconstruction: squared error, or Huber's, in units of the training data's variance,
    and R2.
    """

    def __init__(self, task: Task, *, smoothing: float = 0.0, huber: bool = False) -> None:
        """Raises PassError for a task that has no right answers of its own, and for a smoothing that is no share."""
        if task.kind == "embedding":
            raise PassError("embeddings have no labels to learn from; distil them from a teacher.")
        if not 0 <= smoothing < 1:
            raise PassError(f"smoothing={smoothing} must be a share below 1; correct that option.")
        self._task, self._smoothing, self._huber = task, smoothing, huber
        self._spread: Tensor | None = None
        self.keep = (task.answer.scores,)
        self.metric = {"classification": "top-1", "binary": "accuracy"}.get(task.kind, "R2")

    def prepare(self, data: TrainingData, device: torch.device) -> None:
        """Check labels; raises DataError where they are missing or none of the task's."""
        if self._task.kind == "reconstruction":
            values = next(data.in_order(_SPREAD_SAMPLES, device)).inputs[str(self._task.source)]
            self._spread = spread_of(values) if self._spread is None else self._spread
            return
        if data.labels is None:
            raise DataError(f"the {data.name} split has no labels to learn from; name them with --labels, or distil instead.")
        check_labels(self._task, data.labels)
        if self._task.kind == "regression" and self._spread is None:
            self._spread = spread_of(torch.from_numpy(data.labels.reshape(len(data), -1)).to(device), by_column=True)

    def loss(self, batch: Samples, values: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of the batch."""
        scores = values[self._task.answer.scores]
        if self._task.kind == "classification":
            classes = class_last(scores, self._task)
            return functional.cross_entropy(classes, self._classes(batch, classes), label_smoothing=self._smoothing)
        if self._task.kind == "binary":
            return functional.binary_cross_entropy_with_logits(scores.flatten(1), self._target(batch))
        made, wanted = self._scaled(batch, values)
        return functional.huber_loss(made, wanted) if self._huber else functional.mse_loss(made, wanted)

    def score(self, batch: Samples, values: Mapping[str, Tensor]) -> Tensor:
        """Score of each sample [n]."""
        scores = values[self._task.answer.scores]
        if self._task.kind == "classification":
            classes = class_last(scores, self._task)
            truth = self._classes(batch, classes)
            truth = truth.argmax(1) if truth.ndim == 2 else truth
            return (classes.argmax(1) == truth).float().reshape(len(scores), -1).mean(1)
        if self._task.kind == "binary":
            return ((scores.flatten(1) > 0) == (self._target(batch) > 0.5)).float().mean(1)
        made, wanted = self._scaled(batch, values)
        return 1 - (made - wanted).square().mean(1)

    def to_json(self) -> Any:
        """Task and options."""
        return ["supervised", self._task.kind, self._task.answer.scores, self._task.axis, self._smoothing, self._huber]

    def _classes(self, batch: Samples, classes: Tensor) -> Tensor:
        """Class numbers [rows], or shares [rows, classes], for scores [rows, classes]."""
        labels = _labels(batch)
        if labels[0].numel() == classes.shape[1] and labels.numel() == classes.numel():
            return labels.reshape(classes.shape).float()
        return labels.reshape(-1).long()

    def _target(self, batch: Samples) -> Tensor:
        labels = _labels(batch)
        return labels.reshape(len(labels), -1).float()

    def _scaled(self, batch: Samples, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What was made and what is right, [n, columns], in standard deviations of the training data."""
        if self._task.kind == "reconstruction":
            wanted = batch.inputs[str(self._task.source)].flatten(1).float()
        else:
            wanted = self._target(batch)
        spread = 1.0 if self._spread is None else self._spread
        return values[self._task.answer.output].flatten(1) / spread, wanted / spread


class ByUser:
    """The user's own loss, which is the score too (its negative)."""

    def __init__(self, function: UserFunction, values: tuple[str, ...] = ()) -> None:
        """`values` inside the graph are given to it beside the outputs."""
        self._function = function
        self.keep = values
        self.metric = "-loss"

    def prepare(self, data: TrainingData, device: torch.device) -> None:
        """Nothing."""

    def loss(self, batch: Samples, values: Mapping[str, Tensor]) -> Tensor:
        """What the user's function says; raises PassError when it fails or is no single number."""
        with blame(self._function, "loss"):
            found = self._function.call(dict(values), batch.labels, dict(batch.inputs))
        if not isinstance(found, Tensor) or found.numel() != 1 or not found.is_floating_point():
            what = f"a tensor of shape {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise PassError(f"the loss {self._function.name!r} returned {what}, and must return a tensor with one number.")
        return found.reshape(())

    def score(self, batch: Samples, values: Mapping[str, Tensor]) -> Tensor:
        """The negative loss of the batch, for each of its samples [n]."""
        return -self.loss(batch, values).detach().expand(len(batch.places))

    def to_json(self) -> Any:
        """Name and digest of the function."""
        return ["user", self._function.name, self._function.digest, list(self.keep)]


def supervised(
    model: Model, needs: TrainingNeeds, kind: Kind | None = None, *, smoothing: float = 0.0, huber: bool = False
) -> Objective:
    """What `model` learns without a teacher: by the user's loss, else the task of its labels, or of `kind`.

    Raises DataError where there is nothing to learn from, and where labels fit no answer of the model.
    """
    if needs.user.loss is not None:
        return ByUser(needs.user.loss)
    task = find_task(model, training_labels(needs.train), kind)
    if task is None:
        raise DataError(
            "the training data have no labels, so there is nothing to learn from; name them with --labels, or distil the model "
            "from a teacher."
        )
    return Supervised(task, smoothing=smoothing, huber=huber)


def spread_of(values: Tensor, *, by_column: bool = False) -> Tensor:
    """Standard deviation of values [n, ...], over all or of each column [n, columns]; 1 where they do not vary."""
    found = values.float().std(0, unbiased=False) if by_column else values.float().std(unbiased=False)
    return torch.where(found > 0, found, torch.ones_like(found))


def class_last(scores: Tensor, task: Task) -> Tensor:
    """Scores as [rows, classes]: one row a sample, or a row for each of its positions."""
    if scores[0].numel() == task.classes:
        return scores.flatten(1)
    return scores.movedim(task.axis, -1).reshape(-1, task.classes)


def _labels(batch: Samples) -> Tensor:
    if batch.labels is None:
        raise DataError("a batch has no labels to learn from; name them with --labels, or distil instead.")
    return batch.labels
