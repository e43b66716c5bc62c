"""The pass `sparsify`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ...core.errors import PassError
from ...ir.model import Model
from ...ir.passes import PassResult
from ..distill.distill import Distill
from ..train.needs import TrainingNeeds
from .masks import Allocation


@dataclass(frozen=True)
class Sparsify(Distill):
    """Set the weights that matter least to zero, more and more of them while the model is trained to make up for it.

    Before::

        y = Conv(x, @w)

    After, with four fifths of the numbers in w zero::

        y = Conv(x, @w')

    `amount` is the share of all weights of convolutions, matrix products and recurrent layers that become zero (depthwise
    convolutions, biases and norms stay). `importance`: "magnitude" ranks weights by their squares as training moves them,
    "taylor" by (gradient * weight)^2 before it (1906.10771). `allocation`: one ranking over all layers, or the same share of
    each (see masks.py). `schedule`: the share of zeros rises as amount * (1 - (1 - t)^3) while t goes from 0 to 1 over the
    first `end` of the steps (1710.01878, equation 1), or is there from the first step. A weight that is zero stays zero, and
    is exactly zero in the model that comes out. `keep`: layers that stay as they are. All else is a training's and a
    distillation's: the ingested model is the teacher. Without data the weights are zeroed at once and nothing is trained.

    Passes that train behind this one fill the zeros again: let it be the last (`quantize{mode=qat}` keeps zeros).
    """

    name: ClassVar[str] = "sparsify"

    amount: float = 0.8
    importance: Literal["magnitude", "taylor"] = "magnitude"
    allocation: Allocation = "global"
    schedule: Literal["cubic", "one-shot"] = "cubic"
    end: float = 0.6
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges; raises PassError."""
        super().__post_init__()
        for name, value in (("amount", self.amount), ("end", self.end)):
            if not 0 < value < 1:
                raise PassError(f"sparsify: {name}={value} is no share; give one between 0 and 1.")
        if "features" in self.method:
            raise PassError("sparsify: method=features is for distill; use kd or dkd here.")

    def run(self, model: Model, given: TrainingNeeds) -> PassResult:
        """Sparsify `model` (in training form); an empty `given.train` means that there are no data.

        Raises PassError where no layer has weights to zero or `keep` names none, and what `distill` raises.
        """
        from .sparsifying import sparsified

        return sparsified(self, model, given)
