"""What a training minimises and what it is judged by: the seam between the loop and tasks, teachers and fake quantization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from .batches import TrainingData


@dataclass(frozen=True, eq=False)
class Samples:
    """A batch on the training's device: inputs [n, ...] by name, labels [n, ...] or None, places [n] in the data they are of.

    `is_plain` says that the inputs are as the data hold them (no augmentation), so that what is known of a place holds.
    """

    inputs: Mapping[str, Tensor]
    labels: Tensor | None
    places: Tensor
    data: TrainingData
    is_plain: bool = True


class Objective(Protocol):
    """A loss and a score of what the trained module computes.

    `values` hold the graph's outputs and the values named in `keep`, by name, each [n, ...].
    """

    @property
    def keep(self) -> tuple[str, ...]:
        """Values inside the graph that loss and score read."""

    @property
    def metric(self) -> str:
        """Name of the score, for people ("top-1")."""

    def prepare(self, data: TrainingData, device: Any) -> None:
        """Called once for the training data and once for the search data, before the first batch, with the torch device."""

    def loss(self, batch: Samples, values: Mapping[str, Tensor]) -> Tensor:
        """Scalar float32: the mean over the batch; gradients flow from it."""

    def score(self, batch: Samples, values: Mapping[str, Tensor]) -> Tensor:
        """Score of each sample [n] (their mean judges a state), higher is better."""

    def to_json(self) -> Any:
        """JSON of everything that it depends on beside model and data: options, digests of teachers and of the user's code."""
