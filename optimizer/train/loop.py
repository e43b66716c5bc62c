"""The training loop: seeded, bounded, and the same result however often it was killed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .needs import TrainingNeeds
from .objective import Objective
from .schedule import Schedule

if TYPE_CHECKING:
    from torch import nn

    from .module import GraphModule

# (step, steps) before the forward pass of each optimizer step. After a resume or a return to an earlier state it begins again
# there, so what it does must follow from the step alone, and what it remembers must lie in buffers of the module or of `parts`.
Callback = Callable[[int, int], None]
_NO_PARTS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Evaluation:
    """What was seen after `step` steps: training loss since the last one; loss and score on search, score of averaged weights."""

    step: int
    epoch: float
    train_loss: float
    search_loss: float | None = None
    score: float | None = None
    averaged_score: float | None = None


@dataclass(frozen=True)
class Fitted:
    """How a training went. The module holds the kept state.

    `score` and `loss` are the kept state's on search (None without search); `start_score` that of the state before the first
    step. `is_cut`: the budget ended it before its planned end. `notes` are one line each.
    """

    steps: int
    epochs: float
    loss: float | None
    score: float | None
    start_score: float | None
    is_averaged: bool
    is_cut: bool
    notes: tuple[str, ...]
    history: tuple[Evaluation, ...]


def fit(
    module: GraphModule,
    objective: Objective,
    needs: TrainingNeeds,
    schedule: Schedule,
    *,
    key: Any,
    parts: Mapping[str, nn.Module] = _NO_PARTS,
    callbacks: Sequence[Callback] = (),
) -> Fitted:
    """Train `module` (and `parts`, what is trained beside it, such as regressors) and leave the best state in it.

    `key` is JSON of what hooks and callbacks do (a pass's text is); model, data, schedule, objective, seed, code, versions,
    threads and device are added to it. Raises PassError when the loss is not finite at the very first step, and UsageError when
    the budget does not suffice for one epoch.
    """
    raise NotImplementedError
