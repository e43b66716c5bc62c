"""The training loop: seeded, bounded, and the same result however often it was killed."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from ...core.code import code_digest
from ...core.store import StepStore
from .augment import augmentation
from .averaged import Averaged
from .batch_norm import recalibrate
from .batches import Order, opened, shuffled, split_digest
from .budget import Budget
from .checkpoint import Checkpoint, pack, unpack
from .course import Course
from .device import best_device, fingerprint, settled
from .judging import Judgement
from .lengths import Lengths
from .module import GraphModule
from .needs import TrainingNeeds
from .objective import Objective
from .optimizers import Descent
from .pace import planned_for, room_within
from .schedule import Schedule
from .training import Callback, Evaluation, Setting, Training

__all__ = ["Callback", "Evaluation", "Fitted", "fit"]

_NO_PARTS: Mapping[str, Any] = MappingProxyType({})
_RESULT = "result"
_RECALIBRATION_BATCHES = 200
_SMALLEST_BATCH = 8  # statistics of fewer samples are noise


@dataclass(frozen=True)
class Fitted:
    """How a training went. The module holds the kept state.

    `loss` and `score` (higher is better) are those of the kept state on the search data, `start_score` that of the state before
    the first step; None without search. `is_averaged`: the averaged weights were better. `is_cut`: the budget ended it before
    its planned end. `notes` are a sentence each.
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

    def told(self, metric: str) -> tuple[str, ...]:
        """What a person should know, a clause each."""
        went = f"{self.epochs:.3g} epoch(s)"
        if self.score is not None:
            begun = "" if self.start_score is None else f" (before: {self.start_score:.4g})"
            went += f", {metric} {self.score:.4g} on search{begun}" + (", averaged weights" if self.is_averaged else "")
        return (went, *self.notes)

    def to_plain(self) -> dict[str, Any]:
        """As numbers, texts, lists and dicts."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_plain(value: Mapping[str, Any]) -> Fitted:
        """Inverse of `to_plain`."""
        history = tuple(Evaluation.from_plain(item) for item in value["history"])
        return Fitted(**{**value, "notes": tuple(value["notes"]), "history": history})


def fit(
    module: GraphModule,
    objective: Objective,
    needs: TrainingNeeds,
    schedule: Schedule,
    *,
    key: Any,
    parts: Mapping[str, nn.Module] = _NO_PARTS,
    callbacks: Sequence[Callback] = (),
    kept_from: float = 0.0,
) -> Fitted:
    """Train `module`, and `parts` (modules beside it that the objective uses), and leave the best state in them, on the CPU.

    `key` is JSON of what hooks and callbacks do (a pass's text is); model, state, data, schedule, objective, seed, code,
    versions, threads and device are added to it here. `callbacks` are called with (step, steps) before the forward pass of
    each step; after a resume or a return to an earlier state they begin again there, so what they do must follow from the step
    alone, and what they remember must lie in buffers of `module` or `parts`. They may set `module.freeze_batch_norm`, which
    the schedule sets before them. `kept_from` is the share of the steps before which no state is kept, for trainings that only
    become what they are to be on the way (more and more zeros); 0 lets the state before the first step compete too.

    A finished training is found again in `needs.store`, a killed one goes on to the same bytes, and one that the budget cut
    goes on with a later one (see lengths.py). `needs.budget` is told where it made the training shorter.

    Raises PassError when the loss is not finite at the very first step, when nothing can be trained, and when the user's code
    fails; UsageError when the budget has no room for one epoch; DataError when there are no samples.
    """
    device = best_device()
    with settled(device, needs.threads):
        return _Fit(module, objective, needs, schedule, key, parts, callbacks, kept_from, device).run()


class _Fit:
    """One call of `fit`: finds what is there, plans, goes on, and keeps the result."""

    def __init__(
        self,
        module: GraphModule,
        objective: Objective,
        needs: TrainingNeeds,
        schedule: Schedule,
        key: Any,
        parts: Mapping[str, nn.Module],
        callbacks: Sequence[Callback],
        kept_from: float,
        device: torch.device,
    ) -> None:
        self._module, self._objective, self._needs, self._schedule = module, objective, needs, schedule
        self._modules: dict[str, nn.Module] = {"": module, **parts}
        self._callbacks, self._kept_from, self._device = callbacks, kept_from, device
        self._budget = needs.budget.part() if needs.budget is not None else None
        self._known = self._all_that_matters(key)
        self._lengths = Lengths(needs.store, self._known, schedule.epochs, self._done)

    def run(self) -> Fitted:
        whole, budget = self._schedule.epochs, self._budget
        found = self._finished(whole)
        if budget is None or found is not None:
            return found or self._finish(self._prepared(), whole)
        training, epochs = None, self._lengths.standing(budget.share_seconds)
        if epochs is None:
            training = self._prepared()
            epochs = self._planned(training, budget)
        found = self._finished(epochs) or self._finish(training or self._prepared(), epochs)
        if found.is_cut or epochs < whole:
            budget.feel()
        return found

    def _all_that_matters(self, key: Any) -> dict[str, Any]:
        needs = self._needs
        return {
            "key": key,
            "model": self._module.to_model().digest(),
            "state": _digest(self._modules),
            "data": [split_digest(needs.train), split_digest(needs.search)],
            "schedule": {**self._schedule.to_json(), "kept_from": self._kept_from},
            "objective": self._objective.to_json(),
            "user": needs.user.to_json(),
            "seed": needs.seed,
            "code": code_digest(),
            "platform": fingerprint(self._device, needs.threads),
        }

    def _prepared(self) -> Training:
        """The training before its first step, on its device, planned for as many epochs as the schedule asks for."""
        needs, device = self._needs, self._device
        data = opened(needs.train, needs.progress)
        search = opened(needs.search, needs.progress) if needs.search is not None else None
        for module in self._modules.values():
            module.to(device, memory_format=torch.channels_last)
        for each in (data, search):
            if each is not None:
                self._objective.prepare(each, device)
        order = Order(len(data), self._schedule.batch_for(len(data)), needs.seed)
        schedule, notes = self._schedule_for(order)
        setting = Setting(
            module=self._module,
            modules=self._modules,
            objective=self._objective,
            schedule=schedule,
            data=data,
            search=search,
            order=order,
            steps=0,
            judged_every=0,
            kept_from=self._kept_from,
            seed=needs.seed,
            device=device,
            augment=augmentation(schedule, needs.user.augment),
            callbacks=self._callbacks,
        )
        parameters = [item for module in self._modules.values() for item in module.parameters() if item.requires_grad]
        rate = schedule.highest_rate(is_layer_normalised=self._has("LayerNormalization"))
        descent = Descent(parameters, schedule, rate, needs.user.optimizer)
        averaged = Averaged(_averaged_tensors(self._modules), schedule.ema) if schedule.ema else None
        training = Training(planned_for(setting, schedule.epochs), descent, averaged)
        training.position.notes.extend(notes)
        return training

    def _schedule_for(self, order: Order) -> tuple[Schedule, list[str]]:
        """The schedule, batch norm frozen where batches are too small to have statistics, and what to tell."""
        if order.batch >= _SMALLEST_BATCH or self._schedule.batch_norm != "update" or not self._has("BatchNormalization"):
            return self._schedule, []
        note = f"batch norms keep their statistics: {order.batch} samples a batch are too few for new ones"
        return replace(self._schedule, batch_norm="frozen"), [note]

    def _has(self, operator: str) -> bool:
        return any(node.op_type == operator for node in self._module.to_model().graph)

    def _planned(self, training: Training, budget: Budget) -> int:
        room = room_within(training, budget)
        epochs = self._lengths.planned(room.epochs, budget.share_seconds)
        if epochs is None:
            raise room.refusal(budget)
        return epochs

    def _done(self, epochs: int) -> float:
        """The share of a plan of so many epochs that lies in the store."""
        store = self._needs.store
        if store is None:
            return 0.0
        return 1.0 if store.find(self._result_key(epochs)) is not None else self._checkpoint(epochs).done()

    def _checkpoint(self, epochs: int) -> Checkpoint:
        store = self._needs.store
        return Checkpoint(store.unfinished(self._result_key(epochs)) if store is not None else None)

    def _finish(self, training: Training, epochs: int) -> Fitted:
        store = self._needs.store
        training.setting = planned_for(training.setting, epochs)
        if epochs < self._schedule.epochs:
            told = f"the budget of {self._budget} has room for {epochs} of {self._schedule.epochs} epochs"
            training.position.notes.append(told)
        is_cut = Course(training, self._checkpoint(epochs), self._budget, self._needs.progress).run()
        fitted = _settled(training, is_cut=is_cut)
        if store is not None and not is_cut:
            content = pack({"fitted": fitted.to_plain(), "modules": training.states()})
            store.step(self._result_key(epochs), lambda folder: _write(folder, content))
        self._come_home()
        return fitted

    def _finished(self, epochs: int) -> Fitted | None:
        """What an earlier run came to, its state in the modules; None where there is none."""
        store = self._needs.store
        folder = None if store is None else store.find(self._result_key(epochs))
        found = None if folder is None else unpack((folder / _RESULT).read_bytes())
        if found is None:
            return None
        for name, module in self._modules.items():
            module.load_state_dict(found["modules"][name])
        self._come_home()
        return Fitted.from_plain(found["fitted"])

    def _come_home(self) -> None:
        for module in self._modules.values():
            module.to("cpu", memory_format=torch.contiguous_format)
            module.eval()

    def _result_key(self, epochs: int) -> str:
        return StepStore.key("fit", epochs=epochs, **self._known)


def _settled(training: Training, *, is_cut: bool) -> Fitted:
    """The best state in place, its batch norms re-estimated where that was asked for and does no harm."""
    position, setting = training.position, training.setting
    if training.best is not None:
        training.load(training.best)
    kept, is_averaged = position.best, position.is_best_averaged
    if setting.schedule.batch_norm == "re-estimate":
        kept = _re_estimated(training, kept)
    return Fitted(
        steps=position.step,
        epochs=position.step / setting.order.steps_per_epoch,
        loss=None if kept is None else kept.loss,
        score=None if kept is None else kept.score,
        start_score=None if position.start is None else position.start.score,
        is_averaged=is_averaged,
        is_cut=is_cut,
        notes=tuple(position.notes),
        history=tuple(position.history),
    )


def _re_estimated(training: Training, kept: Judgement | None) -> Judgement | None:
    """Take the statistics of batch norms anew; go back to the old ones where search says that they were better."""
    setting = training.setting
    before = training.states()
    steps = range(min(_RECALIBRATION_BATCHES, setting.order.steps_per_epoch))
    batches = shuffled(setting.data, setting.order, steps, setting.seed, None, setting.device)
    recalibrate(setting.module, (batch.inputs for batch in batches))
    found = training.judged()
    if found is None or kept is None or not kept.is_better_than(found):
        return found
    training.load(before)
    training.position.notes.append("batch norms keep their statistics: those that were re-estimated did worse on search")
    return kept


def _averaged_tensors(modules: Mapping[str, nn.Module]) -> dict[str, torch.Tensor]:
    """What an average is kept of: parameters, and the statistics of the graph's batch norms."""
    found = {f"{name}.{key}": item for name, module in modules.items() for key, item in module.named_parameters()}
    kept = modules[""].state_dict()
    statistics = {f".{key}": item for key, item in modules[""].named_buffers(recurse=False) if key in kept}
    return {**found, **statistics}


def _digest(modules: Mapping[str, nn.Module]) -> str:
    """SHA-256 of the modules' tensors by name."""
    state = hashlib.sha256()
    for name, module in modules.items():
        for key, tensor in module.state_dict().items():
            state.update(f"{name}|{key}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
            state.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return state.hexdigest()


def _write(folder: Path, content: bytes) -> None:
    (folder / _RESULT).write_bytes(content)
