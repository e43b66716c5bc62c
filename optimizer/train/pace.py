"""How often a training judges itself, and how many epochs a budget has room for."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

from ...core.errors import UsageError
from .batches import shuffled
from .budget import Budget, told
from .training import Setting, Training

_MOST_FOR_JUDGING = 0.5  # of the time of an epoch
_FORWARD_SHARE = 1 / 3  # of a training step: backward costs twice as much as forward
_FEWEST_JUDGEMENTS = 5
_TRIAL_STEPS, _TRIAL_SECONDS = 10, 3.0
_SAFETY = 0.9  # share of the time that is planned: steps get slower as often as faster


def planned_for(setting: Setting, epochs: int) -> Setting:
    """`setting` for so many epochs, judged after each where judging is cheap beside training, else more rarely."""
    judged = 0 if setting.search is None else len(setting.search)
    cost = judged * _FORWARD_SHARE * (2 if setting.schedule.ema else 1) / len(setting.data)
    between = max(1, min(math.ceil(cost / _MOST_FOR_JUDGING), epochs // _FEWEST_JUDGEMENTS))
    an_epoch = setting.order.steps_per_epoch
    return replace(setting, steps=epochs * an_epoch, judged_every=between * an_epoch)


@dataclass(frozen=True)
class Pace:
    """Measured seconds of one step and of one judgement."""

    step_seconds: float
    judge_seconds: float

    def epoch_seconds(self, training: Training) -> float:
        """Seconds of one epoch with its judgements."""
        setting = training.setting
        return setting.order.steps_per_epoch * (self.step_seconds + self.judge_seconds / setting.judged_every)


@dataclass(frozen=True)
class Room:
    """Epochs that fit into what is left of a budget, a fraction told too; seconds that one takes, and seconds that are left."""

    epochs: float
    epoch_seconds: float
    left_seconds: float

    def refusal(self, budget: Budget) -> UsageError:
        """What to raise where not even one epoch fits."""
        return UsageError(
            f"the budget of {budget} is too small: one epoch takes about {told(self.epoch_seconds)} here and "
            f"{told(max(0.0, self.left_seconds))} are left for this training; give more with --budget, or fewer training "
            "samples."
        )


def measured(training: Training) -> Pace:
    """The pace of some steps and one judgement, after which everything is as it was before."""
    before = training.capture()
    setting = training.setting
    steps = range(min(_TRIAL_STEPS + 1, setting.steps))
    start = began = time.monotonic()
    done = 0
    for index, batch in enumerate(shuffled(setting.data, setting.order, steps, setting.seed, setting.augment, setting.device)):
        if not training.step(batch):
            break
        if index == 0 and len(steps) > 1:
            start = time.monotonic()  # the first step also sets things up
            continue
        done += 1
        if time.monotonic() - start > _TRIAL_SECONDS:
            break
    step_seconds = (time.monotonic() - start) / done if done else time.monotonic() - began
    start = time.monotonic()
    training.judge()
    judge_seconds = time.monotonic() - start
    training.go_to(before)
    training.best = None
    return Pace(step_seconds, judge_seconds)


def room_within(training: Training, budget: Budget) -> Room:
    """How many epochs `budget` has room for now, at the pace that is measured."""
    seconds = measured(training).epoch_seconds(training)
    left = budget.left_seconds()
    return Room(left * _SAFETY / seconds, seconds, left)
