"""Many devices' figures of one artifact, with their spread: pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from .records import Run

FIGURES = ("median_ms", "p50_ms", "p90_ms", "p99_ms")


@dataclass(frozen=True)
class Merged:
    """A figure over `devices` of them with the same number of threads and batch: the lowest, the median, the highest.

    Devices that were disturbed, and emulations, are counted in `left_out` and are in no figure.
    """

    threads: int
    batch: int
    figure: str
    devices: int
    left_out: int
    low: float
    middle: float
    high: float


def merged(runs: Iterable[Run]) -> list[Merged]:
    """Figures of all runs that were measured, by threads, batch and figure."""
    groups: dict[tuple[int, int], list[Run]] = {}
    for run in runs:
        if run.outcome is not None and run.outcome.measurement is not None:
            groups.setdefault((run.threads, run.batch), []).append(run)
    found = []
    for (threads, batch), group in sorted(groups.items()):
        good = [run.outcome.measurement for run in group if run.outcome is not None and is_sound(run)]
        for figure in FIGURES if good else ():
            values = [float(getattr(item, figure)) for item in good]
            left_out = len(group) - len(good)
            found.append(Merged(threads, batch, figure, len(good), left_out, min(values), median(values), max(values)))
    return found


def is_sound(run: Run) -> bool:
    """Whether a run that was measured was neither disturbed nor emulated."""
    outcome = run.outcome
    return (
        outcome is not None
        and outcome.measurement is not None
        and not outcome.is_emulated
        and not outcome.health.disturbed
        and not outcome.measurement.is_disturbed
    )
