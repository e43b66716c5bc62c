"""What a comparison says: a finding a figure, the sides, and how it was measured (docs/schema/compare-1.json)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .rules import Scale

SCHEMA = "edgewright-compare-1"
# regression: shown to be worse than the rule allows. none: shown not to be. noise: no change is shown, and the interval is
# wider than the threshold. undecided: a change is shown, or asked for, and the interval holds the threshold. shown: no rule.
Status = Literal["regression", "none", "noise", "undecided", "shown"]
How = Literal["turns", "processes", "samples", "records", "exact"]
EXIT_REGRESSION, EXIT_UNDECIDED = 2, 3


@dataclass(frozen=True)
class Finding:
    """One figure of BASE and HEAD in `unit` (ms, B, /s, or "" for a metric), and what the rule says of it.

    `measured`, `low`, `high` and `threshold` are on `scale`: HEAD/BASE - 1, HEAD - BASE, or HEAD alone. `low` and `high` are
    one-sided bounds at `confidence` each, None where there is none. `n` counts pairs of loads or processes ("turns",
    "processes"), samples, or windows of one record ("records"); `n_needed` would likely decide. `subject` names the model.
    """

    subject: str
    figure: str
    unit: str
    scale: Scale
    how: How
    n: int
    confidence: float | None
    slice: str | None = None
    rule: str | None = None
    status: Status = "shown"
    why: str = ""
    base: float | None = None
    head: float | None = None
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    n_needed: int | None = None
    is_share: bool = False
    is_higher_better: bool = False


@dataclass(frozen=True)
class Side:
    """BASE or HEAD: the file that was given, and the model file behind it."""

    file: str
    name: str
    sha256: str
    bytes: int
    runtime: str


@dataclass(frozen=True)
class Comparison:
    """All findings. `alpha` is the chance of any false regression over all rules, looks and slices together.

    `conditions` tells machine, threads, loads, interrupted runs and so on; `notes` what a reader must know.
    """

    at: str
    version: str
    base: tuple[Side, ...]
    head: tuple[Side, ...]
    findings: tuple[Finding, ...]
    alpha: float
    conditions: Mapping[str, Any]
    notes: tuple[str, ...] = field(default=())
    label: str | None = None

    @property
    def status(self) -> Status:
        """The worst of the findings that have a rule; "shown" where none has."""
        found = {item.status for item in self.findings}
        order: tuple[Status, ...] = ("regression", "undecided", "noise", "none")
        return next((status for status in order if status in found), "shown")

    def exit_code(self, is_strict: bool) -> int:
        """0 no regression was shown; 2 one was; 3 something is open (noise or undecided), and that is asked for."""
        if self.status == "regression":
            return EXIT_REGRESSION
        return EXIT_UNDECIDED if is_strict and self.status in {"undecided", "noise"} else 0

    def to_json(self) -> dict[str, Any]:
        """JSON object of the schema `edgewright-compare-1`; every number in it is finite."""
        return {"schema": SCHEMA, "status": self.status, **dataclasses.asdict(self)}
