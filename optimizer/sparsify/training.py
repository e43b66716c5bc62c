"""Sparsity that grows while the model is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import nn

from ...ir.model import Model
from ...ir.pipeline import pass_text
from ..distill.lesson import Lesson
from ..prune.schedule import cubic
from ..train.loop import fit
from ..train.module import GraphModule
from ..train.needs import TrainingNeeds
from .masks import Masks, masks_for

if TYPE_CHECKING:
    from .sparsify import Sparsify

# How often zeros are chosen anew: the paper's interval of 100 to 1000 steps, for trainings that are shorter than its.
_UPDATES = 32


def trained(
    options: Sparsify, model: Model, names: Sequence[str], saliency: Mapping[str, NDArray[Any]] | None, needs: TrainingNeeds
) -> tuple[Model, Masks, list[str]]:
    """The trained model, the masks that its weights must be held to, and notes."""
    module = GraphModule(model)
    masks = {name: Mask(module.tensor(name).shape) for name in names}
    for name, mask in masks.items():
        module.add_hook(name, mask)
    objective = Lesson(options, model, needs).objective()
    growing = Growing(options, module, masks, saliency)
    kept_from = 0.0 if options.schedule == "one-shot" else options.end
    fitted = fit(
        module, objective, needs, options, key=pass_text(options), callbacks=[objective.grow, growing], kept_from=kept_from
    )
    growing.choose(options.amount)  # a training that was cut short had fewer zeros
    return module.to_model(), {name: mask.stays.numpy() for name, mask in masks.items()}, list(fitted.told(objective.metric))


class Mask(nn.Module):  # type: ignore[misc]
    """Lets through the weights that stay; a buffer, so that checkpoints have it."""

    def __init__(self, shape: Sequence[int]) -> None:
        """All stay."""
        super().__init__()
        self.register_buffer("stays", torch.ones(*shape, dtype=torch.bool))

    def forward(self, weights: Any) -> Any:
        """Weights with zeros."""
        return weights * self.stays


class Growing:
    """Callback of the loop: chooses zeros anew at some steps of the first `end` of them, never fewer."""

    def __init__(
        self, options: Sparsify, module: GraphModule, masks: Mapping[str, Mask], saliency: Mapping[str, NDArray[Any]] | None
    ) -> None:
        self._options, self._module, self._masks, self._saliency = options, module, masks, saliency

    def __call__(self, step: int, steps: int) -> None:
        """Before `step` of `steps`."""
        share = self.share(step, steps)
        if share is not None:
            self.choose(self._options.amount * share)

    def share(self, step: int, steps: int) -> float | None:
        """Share of the zeros that are to be there from this step on, or None where nothing changes."""
        last = 0 if self._options.schedule == "one-shot" else max(0, int(self._options.end * steps) - 1)
        interval = max(1, last // _UPDATES)
        if step > last or (step % interval and step != last):
            return None
        return 1.0 if step == last else cubic(step, last)

    def choose(self, amount: float) -> None:
        """Set the masks; weights that are zero rank lowest, so that they stay zero."""
        scores = {}
        for name, mask in self._masks.items():
            stays = mask.stays.cpu().numpy()
            if self._saliency is None:
                scores[name] = self._module.tensor(name).detach().cpu().numpy() ** 2 * stays
            else:
                scores[name] = self._saliency[name] * stays
        for name, stays in masks_for(scores, amount, self._options.allocation).items():
            mask = self._masks[name]
            mask.stays.copy_(torch.from_numpy(stays & mask.stays.cpu().numpy()))
