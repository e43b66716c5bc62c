"""What a compile has found before it is written down: what all targets share, and each target's trials and decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..calibration.dataset import Dataset
from ..core.manifest import HistogramBins
from ..device_profiles.profile import DeviceProfile
from .exam import Exam
from .gates.text import Gate
from .kit import Start
from .release import Decision
from .trial import Trial


@dataclass(frozen=True)
class Shared:
    """What is the same for all targets; `splits` counts samples."""

    data: Dataset
    gates: tuple[Gate, ...]
    search: Exam
    accept: Exam
    bins: tuple[HistogramBins, ...]
    splits: Mapping[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Target:
    """One profile, its trials and what was decided; `operators` are (name, type, microseconds) of what was chosen;
    `ram_bytes` is memory by candidate, of those that were measured here; `compressed_bytes` what their files are sent as."""

    profile: DeviceProfile
    trials: tuple[Trial, ...]
    decision: Decision
    threads: int
    seconds: float
    operators: Sequence[tuple[str, str, float]] = ()
    ram_bytes: Mapping[str, int] = field(default_factory=dict)
    compressed_bytes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """All that a compile has found: what each variant became, and what was decided for each profile."""

    shared: Shared
    starts: tuple[Start, ...]
    targets: tuple[Target, ...]
