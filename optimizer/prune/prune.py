"""The pass `prune`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ...ir.model import Model
from ...ir.passes import PassResult
from ..train.needs import TrainingNeeds
from .allocate import Allocation
from .importance import Importance
from .places import Kind
from .schedule import Schedule
from .target import Of

if TYPE_CHECKING:
    from .latency_model import LatencyModel

KINDS: tuple[Kind, ...] = ("channels", "heads", "hidden", "features")


@dataclass(frozen=True)
class Prune:
    """Remove the units of layers that matter least: channels, attention heads, hidden units, features.

    Before::

        y = Conv(x, @w[64,32,3,3])
        z = Conv(Relu(y), @v[128,64,3,3])

    After::

        y = Conv(x, @w'[48,32,3,3])
        z = Conv(Relu(y), @v'[128,48,3,3])

    `amount` is the share to remove `of` multiply-accumulates, parameters, bytes of weights, or the layers' measured time.
    `kind`: which units may go. `importance`: which of them matter (see importance.py); without data "taylor" becomes "l2".
    `allocation`: how many go where (see allocate.py); where the profile's latency cannot be measured on this machine, "latency"
    weighs multiply-accumulates instead of time. `ratios` gives shares of units to remove by layer (`layer:0.3+other:0.5`),
    instead of an amount. `keep`: layers whose units all stay. `align`: multiples of channels, the profile's or a number (see
    align.py). `schedule`: all at once, or in `steps` with a short training of `epochs` at `lr` between them (see schedule.py).
    `reconstruct`: fit the layers that read what is left to what they made before, by least squares. With data the statistics of
    batch norms are taken anew after each removal.
    """

    name: ClassVar[str] = "prune"
    needs: ClassVar[type[Any] | None] = TrainingNeeds

    amount: float = 0.5
    of: Of = "macs"
    kind: tuple[Literal["channels", "heads", "hidden", "features"], ...] = KINDS
    importance: Importance = "taylor"
    allocation: Allocation = "latency"
    ratios: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    align: str = "profile"
    schedule: Schedule = "one-shot"
    steps: int = 4
    epochs: int = 1
    batch: int = 64
    lr: float | None = None
    reconstruct: bool = False

    def __post_init__(self) -> None:
        """Check the options' ranges."""
        if not 0 < self.amount < 1:
            raise ValueError(f"amount={self.amount} is no share to remove; give one between 0 and 1")
        if self.steps < 1 or self.epochs < 1 or self.batch < 1:
            raise ValueError(f"steps={self.steps}, epochs={self.epochs} and batch={self.batch} must be at least 1")

    def run(self, model: Model, given: TrainingNeeds) -> PassResult:
        """Prune `model` (in training form).

        An empty `given.train` means that there are no data. Raises PassError where nothing can be pruned, where the amount
        cannot be reached with the widths that are allowed, or where an option fits neither model nor data.
        """
        from .pruning import Pruning

        return Pruning(self, model, given).run()

    def times(self, model: Model, given: TrainingNeeds) -> LatencyModel | None:
        """The measured times of the layers that `run` will choose widths by, None where it chooses by none; raises as `run`."""
        from .pruning import Pruning

        return Pruning(self, model, given).times()
