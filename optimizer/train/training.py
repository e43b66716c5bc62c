"""One training under way: its steps, its judgements, and its state, which can be captured and gone back to."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ...core.errors import PassError
from .averaged import Averaged
from .batches import Augment, Order, TrainingData, mixed
from .device import seed_all
from .judging import Judgement, compute, judge
from .module import GraphModule
from .objective import Objective, Samples
from .optimizers import Descent
from .schedule import Schedule

Callback = Callable[[int, int], None]
States = dict[str, dict[str, torch.Tensor]]

_LEAST_JUDGED = 128  # samples a batch when judging: nothing is kept for gradients, so more fit
MOST_FAILURES = 2


@dataclass(frozen=True)
class Evaluation:
    """What was seen after `step` steps: mean training loss since the last time, judgements of the weights and their average."""

    step: int
    train_loss: float | None
    raw: Judgement | None = None
    averaged: Judgement | None = None

    @staticmethod
    def from_plain(value: Mapping[str, Any]) -> Evaluation:
        """Of what `dataclasses.asdict` made."""
        return Evaluation(value["step"], value["train_loss"], _judgement(value["raw"]), _judgement(value["averaged"]))


@dataclass
class Position:
    """Where a training is, in plain numbers.

    `slowdown` scales the learning rate after failures (losses that were not finite); `waiting` counts judgements since the last
    better one; `loss_sum` over `loss_count` is the training loss since the last judgement; `notes` are what a person is told.
    """

    step: int = 0
    slowdown: float = 1.0
    failures: int = 0
    waiting: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    notes: list[str] = field(default_factory=list)
    best_step: int = 0
    is_best_averaged: bool = False
    best: Judgement | None = None
    start: Judgement | None = None
    history: list[Evaluation] = field(default_factory=list)

    def mean_loss(self) -> float:
        """Mean training loss since the last judgement; NaN before the first step after it."""
        return self.loss_sum / self.loss_count if self.loss_count else math.nan

    def to_plain(self) -> dict[str, Any]:
        """As JSON."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_plain(value: Mapping[str, Any]) -> Position:
        """Inverse of `to_plain`."""
        history = [Evaluation.from_plain(item) for item in value["history"]]
        known = {"best": _judgement(value["best"]), "start": _judgement(value["start"]), "history": history}
        return Position(**{**value, **known})


@dataclass(frozen=True, eq=False)
class Setting:
    """What a training is made of and never changes. `modules` holds the graph under "" and what is trained beside it."""

    module: GraphModule
    modules: Mapping[str, nn.Module]
    objective: Objective
    schedule: Schedule
    data: TrainingData
    search: TrainingData | None
    order: Order
    steps: int
    judged_every: int
    kept_from: float
    seed: int
    device: torch.device
    augment: Augment | None
    callbacks: Sequence[Callback]


class Training:
    """Steps and judgements over a `Setting`; the module's own tensors are the current state."""

    def __init__(self, setting: Setting, descent: Descent, averaged: Averaged | None) -> None:
        """At the first step."""
        self.setting = setting
        self.position = Position()
        self.best: States | None = None
        self._descent = descent
        self._averaged = averaged

    def step(self, batch: Samples) -> bool:
        """One optimizer step; False, and nothing learned, where loss or gradient is not finite."""
        setting, position = self.setting, self.position
        seed_all(mixed(setting.seed, position.step), setting.device)
        for module in setting.modules.values():
            module.train()
        schedule = setting.schedule
        is_late = position.step >= schedule.freeze_after * setting.steps
        setting.module.freeze_batch_norm = schedule.batch_norm == "frozen" or is_late
        for callback in setting.callbacks:
            callback(position.step, setting.steps)
        values = compute(setting.module, setting.objective, batch, mixed=schedule.mixed)
        loss = setting.objective.loss(batch, values)
        if not loss.requires_grad:
            raise PassError(
                "the loss does not depend on any weight of the model, so nothing can be trained; check the loss and the "
                "outputs that it reads."
            )
        value = float(loss.detach())
        share = position.slowdown * schedule.rate(position.step, setting.steps)
        if not math.isfinite(value) or not self._descent.step(loss, share):
            return False
        if self._averaged is not None:
            self._averaged.update(position.step)
        position.step += 1
        position.loss_sum += value
        position.loss_count += 1
        return True

    def judge(self, *, is_last: bool = False) -> None:
        """Judge the current state, and its average, on the search data; remember the better where it beats all before it.

        States before `kept_from` are told and not kept, but for the last one of a training that is cut short.
        """
        setting, position = self.setting, self.position
        train_loss = position.mean_loss() if position.loss_count else None
        position.loss_sum, position.loss_count = 0.0, 0
        raw, averaged = self.judged(), None
        if raw is not None:
            found = [(raw, False, self.states())]
            if self._averaged is not None and position.step:
                with self._averaged.in_place():
                    averaged = self.judged()
                    found.append((averaged or raw, True, self.states()))
            if position.step >= setting.kept_from * setting.steps or (is_last and self.best is None):
                self._remember(found)
        if not position.step:
            position.start = raw
        position.history.append(Evaluation(position.step, train_loss, raw, averaged))

    def _remember(self, found: Sequence[tuple[Judgement, bool, States]]) -> None:
        position = self.position
        position.waiting += 1
        for judgement, is_averaged, states in found:
            if judgement.is_better_than(position.best):
                position.best, position.is_best_averaged, position.best_step = judgement, is_averaged, position.step
                position.waiting = 0
                self.best = states

    def judged(self) -> Judgement | None:
        """Judgement of the current state on the search data; None without them."""
        setting = self.setting
        if setting.search is None:
            return None
        size = max(_LEAST_JUDGED, setting.order.batch)
        mixes = setting.schedule.mixed
        return judge(setting.modules, setting.objective, setting.search, size, setting.device, mixed=mixes)

    def states(self) -> States:
        """A copy of the modules' tensors."""
        return {
            name: {key: value.detach().clone() for key, value in module.state_dict().items()}
            for name, module in self.setting.modules.items()
        }

    def capture(self) -> dict[str, Any]:
        """A copy of all that the next steps depend on, but for the best state, which they do not."""
        return {
            "position": self.position.to_plain(),
            "modules": self.states(),
            "optimizer": _copy(self._descent.optimizer.state_dict()),
            "averaged": _copy(self._averaged.values) if self._averaged is not None else None,
        }

    def go_to(self, captured: Mapping[str, Any]) -> None:
        """Go to a captured state."""
        self.position = Position.from_plain(captured["position"])
        self.load(captured["modules"])
        self._descent.optimizer.load_state_dict(_copy(captured["optimizer"]))
        if self._averaged is not None:
            self._averaged.load(captured["averaged"])

    def load(self, states: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        """Put `states` into the modules."""
        for name, module in self.setting.modules.items():
            module.load_state_dict(states[name])

    def go_back(self, captured: Mapping[str, Any]) -> None:
        """After a loss that was not finite: to a captured state, at half the learning rate."""
        failed = self.position
        self.go_to(captured)
        self.position.failures, self.position.slowdown = failed.failures + 1, failed.slowdown / 2
        what = "the loss was not finite" if failed.failures == 0 else "the loss was again not finite"
        then = "halved the learning rate" if failed.failures < MOST_FAILURES else "stopped there"
        self.position.notes = [
            *failed.notes,
            f"{what} at step {failed.step + 1}: went back to step {self.position.step}, {then}",
        ]


def _judgement(value: Mapping[str, float] | None) -> Judgement | None:
    return None if value is None else Judgement(**value)


def _copy(value: Any) -> Any:
    """A copy of nested dicts and lists that shares no tensor."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copy(item) for item in value)
    return value
