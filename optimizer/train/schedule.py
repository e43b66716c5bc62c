"""How a training goes: what every pass that trains has as options."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from ...core.errors import PassError

_RATES = {"adamw": 1e-3, "sgd": 2e-2}
_DECAYS = {"adamw": 1e-2, "sgd": 1e-4}
_LEAST_PATIENCE = 5
_FINAL_SHARE = 1e-2
_BATCH, _SMALLEST_BATCH, _STEPS = 64, 16, 40


@dataclass(frozen=True)
class Schedule:
    """Options of one training; a pass that trains is a `Schedule` and has them in its text.

    `epochs`: how often each sample is seen. `batch`: samples a step; None is 64, and fewer, down to 16, where the data are so
    few that an epoch would have less than 40 steps. `lr`: highest learning rate; None is 1e-3 for AdamW and 0.02 for SGD, a
    tenth of that in graphs that normalise by layers, as transformers do. `optimizer`: AdamW (1711.05101), or SGD with
    Nesterov's momentum 0.9. `weight_decay`: None is 0.01 for AdamW, 1e-4 for SGD; biases, norms and whatever else has one axis
    never decay. `warmup`: share of the steps in which the rate rises, before it falls as a cosine (1608.03983) to a hundredth.
    `clip`: largest norm of the gradient, 0 for any. `ema`: decay of the averaged weights, with a warm-up of min(decay, (1 + t)
    / (10 + t)); both are judged and the better is kept; 0 for none. `patience`: evaluations without a better score after which
    training ends; None is a third of the epochs, at least 5; 0 goes to the end. `batch_norm`: statistics are updated by every
    batch, stay frozen as they are, or are re-estimated at the end (PreciseBN). `freeze_after`: share of the steps after which
    they stay frozen. `augment`: what built-in changes images get (see augment.py). `mixed`: whether a GPU computes in 16 bits
    where that is safe.
    """

    epochs: int = 10
    batch: int | None = None
    lr: float | None = None
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float | None = None
    warmup: float = 0.05
    clip: float = 5.0
    ema: float = 0.999
    patience: int | None = None
    batch_norm: Literal["update", "frozen", "re-estimate"] = "update"
    freeze_after: float = 1.0
    augment: Literal["none", "shift", "flip", "flip-shift"] = "none"
    mixed: bool = True

    def __post_init__(self) -> None:
        """Check the ranges; raises PassError."""
        wrong = [
            told
            for told, holds in (
                (f"epochs={self.epochs} must be at least 1", self.epochs >= 1),
                (f"batch={self.batch} must be at least 1", self.batch is None or self.batch >= 1),
                (f"lr={self.lr} must be a number above 0", self.lr is None or 0 < self.lr < math.inf),
                (f"weight-decay={self.weight_decay} must be at least 0", 0 <= (self.weight_decay or 0) < math.inf),
                (f"warmup={self.warmup} must be a share below 1", 0 <= self.warmup < 1),
                (f"clip={self.clip} must be at least 0", 0 <= self.clip < math.inf),
                (f"ema={self.ema} must be a share below 1", 0 <= self.ema < 1),
                (f"patience={self.patience} must be at least 0", (self.patience or 0) >= 0),
                (f"freeze-after={self.freeze_after} must be a share", 0 <= self.freeze_after <= 1),
            )
            if not holds
        ]
        if wrong:
            raise PassError(f"{wrong[0]}; correct that option.")

    def highest_rate(self, *, is_layer_normalised: bool = False) -> float:
        """The highest learning rate."""
        return self.lr if self.lr is not None else _RATES[self.optimizer] * (0.1 if is_layer_normalised else 1.0)

    def batch_for(self, samples: int) -> int:
        """Samples a step, where there are so many `samples`."""
        return max(_SMALLEST_BATCH, min(_BATCH, samples // _STEPS)) if self.batch is None else self.batch

    def decay(self) -> float:
        """Weight decay of what decays."""
        return self.weight_decay if self.weight_decay is not None else _DECAYS[self.optimizer]

    def evaluations_to_wait(self, planned: int) -> int | None:
        """Evaluations without a better score, of `planned`, that end the training; None never does."""
        if self.patience is None:
            return max(_LEAST_PATIENCE, planned // 3)
        return self.patience or None

    def rate(self, step: int, steps: int) -> float:
        """Share of the highest learning rate at `step` of `steps`: a linear rise, then half a cosine."""
        rise = math.ceil(self.warmup * steps)
        if step < rise:
            return (step + 1) / (rise + 1)
        done = (step - rise) / max(1, steps - 1 - rise)
        return _FINAL_SHARE + (1 - _FINAL_SHARE) * (1 + math.cos(math.pi * min(1.0, done))) / 2

    def to_json(self) -> dict[str, Any]:
        """What a result depends on."""
        return {name: getattr(self, name) for name in Schedule.__dataclass_fields__}
