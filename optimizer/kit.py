"""What every candidate of one compile is tried with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.progress import Progress
from ..device_profiles.profile import DeviceProfile
from ..runtimes.emulated.emulator import Emulator
from .build import Builder
from .evaluate import Evaluator, Outputs
from .exam import Exam
from .gates.text import Gate
from .gates.verdict import MeasuredOn, Verdict
from .measure import Measurements
from .training import Step
from .variants import Variant

# Enough for an order and a word, where nothing is released.
SEARCH_RESAMPLES = 200


@dataclass(frozen=True)
class Kit:
    """Everything that trying needs and that is the same for all candidates of a compile; `builder` is the plain model's.

    `emulator` runs candidates on the kernels of profiles that it has a CPU for.
    """

    builder: Builder
    evaluator: Evaluator
    measurements: Measurements
    search: Exam
    gates: Sequence[Gate]
    seed: int
    threads: int | None
    progress: Progress
    emulator: Emulator | None = None

    def threads_for(self, profile: DeviceProfile) -> int:
        """Threads that the runtime is given: as asked for, else the profile's."""
        return self.threads or profile.threads

    def judge(self, outputs: Outputs, measured_on: MeasuredOn | None = None) -> list[Verdict]:
        """What `search` says of a candidate's outputs; with few resamples, since it releases nothing.

        What may look at `accept` hangs on measured values alone (`is_inside`). The bounds tell only who looks first (`chance`),
        and "failed" from "undecided" where no candidate may look at all.
        """
        return self.search.judge(self.gates, outputs, seed=self.seed, measured_on=measured_on, resamples=SEARCH_RESAMPLES)


@dataclass(frozen=True)
class Start:
    """What the candidates of one variant start from.

    `builder` is None where the variant broke before there was a model; `why` then says so. `steps` are what it trained.
    """

    variant: Variant
    builder: Builder | None
    steps: tuple[Step, ...] = ()
    why: str = ""
