"""What training says of each weight: (gradient * weight)^2, the squared first-order change of the loss without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch.nn import functional

from ...ir.model import Model
from ..train.batches import Order, opened, shuffled
from ..train.device import best_device, settled
from ..train.judging import compute
from ..train.module import GraphModule
from ..train.needs import TrainingNeeds
from ..train.objective import Objective, Samples
from ..train.supervised import class_last, supervised
from ..train.task import answer_of, find_task, training_labels, unlabelled_task

BATCHES, BATCH = 16, 32


def saliency(model: Model, needs: TrainingNeeds) -> Mapping[str, NDArray[Any]]:
    """(gradient * weight)^2 by initializer, the mean over 16 batches of 32 samples (1906.10771, equation 8 and section 3.1).

    With labels, a reconstruction to learn, or the user's loss, that is the loss. Without them answers are drawn from what the
    reference says: a class from its softmax, else its output with normal noise as wide as its outputs spread. A loss against
    its exact answers has no gradient where the model still is the reference; that of drawn ones squares to the Fisher
    information (1801.05787, section 3). Batch norms use their running statistics. Raises what `GraphModule` and labels raise.
    """
    device = best_device()
    with settled(device, needs.threads):
        data = opened(needs.train, needs.progress)
        module = GraphModule(model).eval().to(device)
        loss = _objective(model, needs, device)
        loss.prepare(data, device)
        order = Order(len(data), BATCH, needs.seed)
        sums = {name: torch.zeros_like(weight) for name, weight in module.trainable().items()}
        with needs.progress.task("importance of weights", BATCHES) as advance:
            for batch in shuffled(data, order, range(BATCHES), needs.seed, None, device):
                module.zero_grad()
                loss.loss(batch, compute(module, loss, batch, mixed=False)).backward()
                for name, weight in module.trainable().items():
                    if weight.grad is not None:
                        sums[name] += (weight.grad * weight.detach()).square()
                advance(1)
        return {name: (total / BATCHES).cpu().numpy() for name, total in sums.items()}


def _objective(model: Model, needs: TrainingNeeds, device: torch.device) -> Objective:
    if needs.user.loss is not None or find_task(model, training_labels(needs.train)) is not None:
        return supervised(model, needs)
    return Drawn(model, needs.reference, needs.seed, device)


class Drawn:
    """A loss against answers that are drawn from what a reference says of each sample (see `saliency`)."""

    metric = "-loss"

    def __init__(self, model: Model, reference: Model, seed: int, device: torch.device) -> None:
        """Both models answer the same question; `seed` decides the draws."""
        self._task = unlabelled_task(model, reference)
        self._theirs = answer_of(reference)
        self._reference = GraphModule(reference).eval().to(device)
        self._generator = torch.Generator().manual_seed(seed)
        self.keep = (self._task.answer.scores,)

    def prepare(self, data: Any, device: Any) -> None:
        """Nothing."""

    def loss(self, batch: Samples, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Negative log-likelihood of the drawn answers, the mean over the batch."""
        scores = values[self._task.answer.scores]
        with torch.no_grad():
            theirs = self._reference(batch.inputs, keep=(self._theirs.scores,))[self._theirs.scores]
        if self._task.kind == "classification":
            made, wanted = class_last(scores, self._task), class_last(theirs, self._task)
            drawn = torch.multinomial(wanted.softmax(1).cpu(), 1, generator=self._generator)[:, 0]
            return functional.cross_entropy(made, drawn.to(made.device))
        spread = theirs.std().clamp_min(1e-6)
        noise = torch.randn(theirs.shape, generator=self._generator).to(theirs.device)
        return ((scores - theirs) / spread - noise).square().flatten(1).sum(1).mean() / 2

    def score(self, batch: Samples, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The negative loss, for each sample [n]."""
        return -self.loss(batch, values).detach().expand(len(batch.places))

    def to_json(self) -> Any:
        """Its name."""
        return ["drawn"]
