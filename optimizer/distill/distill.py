"""The pass `distill`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ...core.errors import PassError
from ...ir.model import Model
from ...ir.passes import PassResult
from ..train.needs import TrainingNeeds
from ..train.schedule import Schedule


@dataclass(frozen=True)
class Distill(Schedule):
    """Train the model to answer as a teacher does: the ingested model, or another one of the user's.

    Before::

        y = Gemm(x, @w, @b)

    After::

        y = Gemm(x, @w', @b')

    Where the user gives a student of another architecture, it takes the model's place, under the names of the model's inputs
    and outputs. The teacher sees exactly what the student sees, augmented where it is (2106.05237). Without labels the teacher
    alone says what is right.

    `method`, joined by +: "kd" compares answers softened at `temperature` (1503.02531), `teacher_weight` of the loss, labels
    the rest; "dkd" decouples the right class from the others (2203.08679), weighed `alpha` and `beta`, and grows in over
    `dkd_warmup` of the steps, labels added whole; "features" adds `feature_weight` times the distance of scaled maps
    (1412.6550, 1612.03928) of `pairs`, "student's:teacher's", or of tensors that are paired by name, size and depth. Answers
    that are values, not classes, are compared by squared error, embeddings by their cosine. `labels`: whether labels are used
    where there are any. `task`: what the answers are, found from graph and labels by default.
    """

    name: ClassVar[str] = "distill"
    needs: ClassVar[type[Any] | None] = TrainingNeeds

    epochs: int = 20
    method: tuple[Literal["kd", "dkd", "features"], ...] = ("kd",)
    temperature: float = 4.0
    teacher_weight: float = 0.9
    alpha: float = 1.0
    beta: float = 8.0
    dkd_warmup: float = 0.1
    feature_weight: float = 1.0
    pairs: tuple[str, ...] = ()
    labels: Literal["auto", "ignore"] = "auto"
    task: Literal["auto", "classification", "binary", "regression", "reconstruction", "embedding"] = "auto"
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges, and that the options belong together; raises PassError."""
        super().__post_init__()
        wrong = [
            told
            for told, holds in (
                ("method names nothing to learn by", bool(self.method)),
                ("method names kd and dkd, of which only one can be", not {"kd", "dkd"} <= set(self.method)),
                ("pairs are given and method has no features", not self.pairs or "features" in self.method),
                (f"temperature={self.temperature} must be above 0", 0 < self.temperature < math.inf),
                (f"teacher-weight={self.teacher_weight} must be a share above 0", 0 < self.teacher_weight <= 1),
                (f"alpha={self.alpha} and beta={self.beta} must be at least 0", min(self.alpha, self.beta) >= 0),
                (f"dkd-warmup={self.dkd_warmup} must be a share", 0 <= self.dkd_warmup <= 1),
                (f"feature-weight={self.feature_weight} must be above 0", 0 < self.feature_weight < math.inf),
            )
            if not holds
        ]
        if wrong:
            raise PassError(f"distill: {wrong[0]}; correct that option.")

    def run(self, model: Model, given: TrainingNeeds) -> PassResult:
        """Teach; raises PassError where teacher and student do not fit each other, and what `fit` raises."""
        from .lesson import Lesson

        return Lesson(self, model, given).teach()
