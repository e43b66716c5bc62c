"""The figures that rules may name beside the gates' metrics: unit, direction, and where each comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# timing: both loaded here, in turns. process: of fresh processes. exact: a property of the file.
Source = Literal["timing", "process", "exact"]


@dataclass(frozen=True)
class Figure:
    """A figure by `name`; `unit` is "ms", "/s" (samples a second) or "B"."""

    name: str
    unit: str
    source: Source
    is_higher_better: bool = False


FIGURES = {
    figure.name: figure
    for figure in (
        Figure("p50_ms", "ms", "timing"),
        Figure("p90_ms", "ms", "timing"),
        Figure("p99_ms", "ms", "timing"),
        Figure("throughput", "/s", "timing", is_higher_better=True),
        Figure("cold_start_ms", "ms", "process"),
        Figure("first_ms", "ms", "process"),
        Figure("memory", "B", "process"),
        Figure("size", "B", "exact"),
    )
}
# What is shown without a rule, where it can be had: what nobody need wait for.
SHOWN = ("p50_ms", "p90_ms", "size")
