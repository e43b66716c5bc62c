"""What passes that train are given."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...calibration.dataset import Split
from ...core.progress import Progress, Silent
from ...core.store import StepStore
from ...device_profiles.profile import DeviceProfile
from ...ir.model import Model
from ..measure import Measurements
from .budget import Budget
from .user import UserCode


@dataclass(frozen=True)
class TrainingNeeds:
    """Data, teachers and limits of training.

    `train` is what is learned from, with labels or without; `search` chooses among the states of a training (early stopping,
    averaged weights), and None lets the last one stand; the accept split is never seen here. `reference` is the ingested model
    in training form, the default teacher; `teacher` another one that answers the same question; `student` an architecture of
    the user's that takes the model's place when it is distilled into. `budget` is shared by every training of a compile.
    Checkpoints and finished trainings lie in `store`, times of layers among `measurements` (None: they are taken anew).
    `profile` says what widths and kernels the target likes. `threads` None is torch's own choice.
    """

    train: Split
    search: Split | None
    reference: Model
    teacher: Model | None = None
    student: Model | None = None
    user: UserCode = field(default_factory=UserCode)
    seed: int = 0
    budget: Budget | None = None
    store: StepStore | None = None
    measurements: Measurements | None = None
    progress: Progress = field(default_factory=Silent)
    profile: DeviceProfile | None = None
    threads: int | None = None
