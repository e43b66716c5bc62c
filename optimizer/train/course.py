"""The course of a training: step after step, judged, saved, stopped in time, and back where it was when its process died."""

from __future__ import annotations

import time
from typing import Any

from ...core.errors import PassError
from ...core.progress import Advance, Progress
from .batches import shuffled
from .budget import Budget
from .checkpoint import Checkpoint
from .training import MOST_FAILURES, Training


class Course:
    """Takes a training from where its checkpoint left it to its end."""

    def __init__(self, training: Training, checkpoint: Checkpoint, budget: Budget | None, progress: Progress) -> None:
        """`budget` ends it early."""
        self._training, self._checkpoint, self._budget, self._progress = training, checkpoint, budget, progress
        self._good: dict[str, Any] = {}
        self._judge_seconds = 0.0
        planned = training.setting.steps // training.setting.judged_every
        self._patience = training.setting.schedule.evaluations_to_wait(planned)

    def run(self) -> bool:
        """Go on to the end; whether the budget cut it short."""
        setting = self._training.setting
        with self._progress.task("train", setting.steps) as advance:
            self._begin(advance)
            while not self._is_over():
                if not self._some_steps(advance):
                    return True
        return False

    def _begin(self, advance: Advance) -> None:
        training = self._training
        saved = self._checkpoint.load()
        if saved is None:
            self._judge()
            return
        training.best = saved["best"]
        training.go_to(saved["now"])
        self._good = saved["now"] if saved["good"] is None else saved["good"]
        advance(training.position.step)

    def _is_over(self) -> bool:
        setting, position = self._training.setting, self._training.position
        is_patient = self._patience is None or position.waiting < self._patience
        if not is_patient and position.step < setting.steps:
            epochs = position.step / setting.order.steps_per_epoch
            position.notes.append(f"stopped early, after {epochs:.3g} epochs: no better score in {position.waiting} judgements")
        return position.step >= setting.steps or not is_patient or position.failures > MOST_FAILURES

    def _some_steps(self, advance: Advance) -> bool:
        """Steps up to the next judgement, or to a failure; False when the budget is spent."""
        training = self._training
        setting = training.setting
        start = training.position.step
        end = min(setting.steps, (start // setting.judged_every + 1) * setting.judged_every)
        batches = shuffled(setting.data, setting.order, range(start, end), setting.seed, setting.augment, setting.device)
        for batch in batches:
            if self._is_spent():
                self._cut()
                return False
            if not training.step(batch):
                self._fail()
                advance(training.position.step - start)
                return True
            advance(1, said=self._told())
            if training.position.step < end and self._checkpoint.is_due(is_epoch_end=False):
                self._save(self._good)
        self._judge()
        if self._checkpoint.is_due(is_epoch_end=True):
            self._save(None)
        return True

    def _judge(self) -> None:
        start = time.monotonic()
        self._training.judge()
        self._judge_seconds = time.monotonic() - start
        self._good = self._training.capture()

    def _fail(self) -> None:
        position = self._training.position
        if position.step == 0 and position.failures == 0:
            raise PassError(
                "the loss or its gradient is not finite at the very first step, so nothing can be learned; check the scale of "
                "inputs and labels, and the loss."
            )
        self._training.go_back(self._good)

    def _is_spent(self) -> bool:
        return self._budget is not None and self._budget.left_seconds() <= self._judge_seconds

    def _cut(self) -> None:
        """Save, so that a run with more time goes on, then judge what there is."""
        training = self._training
        self._save(self._good)
        done = training.position.step / training.setting.order.steps_per_epoch
        planned = training.setting.steps // training.setting.order.steps_per_epoch
        training.judge(is_last=True)
        training.position.notes.append(
            f"the budget of {self._budget} ran out after {done:.3g} of {planned} epochs; the best state so far is kept"
        )

    def _save(self, good: dict[str, Any] | None) -> None:
        training = self._training
        done = training.position.step / training.setting.steps
        self._checkpoint.save({"done": done, "now": training.capture(), "good": good, "best": training.best})

    def _told(self) -> str:
        training = self._training
        position, setting = training.position, training.setting
        epoch = 1 + (position.step - 1) // setting.order.steps_per_epoch
        said = f"epoch {epoch} of {setting.steps // setting.order.steps_per_epoch}, loss {position.mean_loss():.3g}"
        return said if position.best is None else f"{said}, {setting.objective.metric} {position.best.score:.4g}"
