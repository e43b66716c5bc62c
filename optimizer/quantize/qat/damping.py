"""Pulling weights towards the integers that they round to, so that they stop swinging between two."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...train.objective import Objective, Samples
from .simulation import Simulation


class Damped:
    """An objective with the squared distance of all weights to what their integers stand for added to its loss.

    The distance is weighed by `strength`, which grows in as half a cosine; no gradient goes to the integers or scales, none to
    weights that are saturated (Nagel et al., arXiv 2203.11086, section 4.1).
    """

    def __init__(self, objective: Objective, simulation: Simulation, strength: float) -> None:
        """`strength` is reached at the last step."""
        self._objective, self._simulation, self._strength = objective, simulation, strength
        self._now = 0.0
        self.keep, self.metric = objective.keep, objective.metric

    def grow(self, step: int, steps: int) -> None:
        """The strength at `step` of `steps`: a callback of the loop."""
        self._now = self._strength * (1 - math.cos(math.pi * step / max(1, steps - 1))) / 2

    def prepare(self, data: Any, device: Any) -> None:
        """As the objective's."""
        self._objective.prepare(data, device)

    def loss(self, batch: Samples, values: Mapping[str, Any]) -> Any:
        """The objective's loss, and the distance."""
        return self._objective.loss(batch, values) + self._now * self._distance()

    def score(self, batch: Samples, values: Mapping[str, Any]) -> Any:
        """As the objective's."""
        return self._objective.score(batch, values)

    def to_json(self) -> Any:
        """The objective's, and the strength."""
        return ["damped", self._strength, self._objective.to_json()]

    def _distance(self) -> Any:
        simulation = self._simulation
        parts = [layer.distance(simulation.weights(name), simulation.bias(name)) for name, layer in simulation.layers.items()]
        return sum(parts)
