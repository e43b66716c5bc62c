"""The pass `finetune`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ...ir.model import Model
from ...ir.passes import PassResult
from ...ir.pipeline import pass_text
from .needs import TrainingNeeds
from .schedule import Schedule


@dataclass(frozen=True)
class Finetune(Schedule):
    """Train the model's weights further, on labels (or, where output and input have one shape, on the input itself).

    Before::

        y = Gemm(x, @w, @b)

    After::

        y = Gemm(x, @w', @b')

    The state that did best on the search split is kept, the one before the first step included. `task`: what the labels are,
    found from the graph and the labels by default. `smoothing`: of classes' labels. `huber`: errors of values count by Huber's
    loss.
    """

    name: ClassVar[str] = "finetune"
    needs: ClassVar[type[Any] | None] = TrainingNeeds

    task: Literal["auto", "classification", "binary", "regression", "reconstruction"] = "auto"
    smoothing: float = 0.0
    huber: bool = False

    def run(self, model: Model, given: TrainingNeeds) -> PassResult:
        """Train; raises what `fit` and `supervised` raise, and ModelError for a graph that cannot be trained."""
        from .loop import fit
        from .module import GraphModule
        from .supervised import supervised

        kind = None if self.task == "auto" else self.task
        objective = supervised(model, given, kind, smoothing=self.smoothing, huber=self.huber)
        module = GraphModule(model)
        fitted = fit(module, objective, given, self, key=pass_text(self))
        return PassResult(module.to_model(), fitted.steps > 0, fitted.told(objective.metric))
