"""The text of a gate, which reads back as the gate that printed it.

    gate    = metric ["[" column "]"] ["by" column] (bound | "report-only")
    bound   = ">=" number | "<=" number
    number  = sign digits "pt"           a change in points:      top1 >= -1pt
            | sign digits                a change:                auc >= -0.01, mae <= +0.05
            | digits "% of reference"    a share of the reference's value
            | digits "%" | digits        a level of the candidate alone: agreement >= 98%, cosine >= 0.99
    metric  = a known name | "file.py:function" | "module:function"

The column in brackets slices: the whole and each of its values must pass. The column after "by" names what belongs together
(patient, speaker), so that whole groups are resampled. A metric of the user is better when higher with ">=", lower with "<=".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ...core.errors import GateError, unknown
from .registry import find_metric, is_user_metric, known_metrics

Kind = Literal["change", "share", "level", "report"]
_UNITS: dict[Kind, tuple[str, ...]] = {"change": ("pt", ""), "share": ("% of reference",), "level": ("%", ""), "report": ("",)}

_GATE = re.compile(
    r"""\s*(?P<metric>[^\s\[\]<>=]+)\s*
    (?:\[(?P<slice>[^\[\]]*)\]\s*)?
    (?:\bby\s+(?P<group>[^\s\[\]<>=]+)\s*)?
    (?:(?P<report>report-only)
      |(?P<op>>=|<=)\s*(?P<sign>[+-]?)\s*(?P<digits>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)
       \s*(?P<unit>pts?|%\s*of\s+reference|%|))\s*""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Gate:
    """A metric and what it must reach. `amount` is the number as written, in `unit`; `threshold` is the same as a fraction.

    `kind` says what the number is: a change against the reference, a share of its value, a level of the candidate, or nothing
    ("report": shown, never judged). Raises GateError for a request that no data can fulfil.
    """

    metric: str
    kind: Kind
    op: str = ">="
    amount: float = 0.0
    unit: str = ""
    slice: str | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        _check(self)

    @property
    def threshold(self) -> float:
        """The number as a fraction: -1pt is -0.01, 99 % is 0.99."""
        return self.amount / 100 if self.unit else self.amount

    @property
    def scale(self) -> Literal["change", "share", "level"]:
        """What is computed: as `kind` says; a report shows the level of what compares with the reference, else the change."""
        if self.kind != "report":
            return self.kind
        metric = find_metric(self.metric)
        return "level" if metric is not None and metric.needs_reference else "change"

    @property
    def is_higher_better(self) -> bool:
        """Whether larger values of the metric are better."""
        return self.op == ">="

    @property
    def margin(self) -> float | None:
        """How much may be lost, as a fraction; None for a level or a report."""
        if self.kind == "change":
            return -self.threshold if self.is_higher_better else self.threshold
        if self.kind == "share":
            return 1 - self.threshold if self.is_higher_better else self.threshold - 1
        return None

    def __str__(self) -> str:
        head = self.metric + (f"[{self.slice}]" if self.slice else "") + (f" by {self.group}" if self.group else "")
        if self.kind == "report":
            return f"{head} report-only"
        sign = "" if self.kind != "change" else "-" if self.amount < 0 else "+"
        return f"{head} {self.op} {sign}{_digits(abs(self.amount))}{self.unit}"


def parse_gate(text: str) -> Gate:
    """The gate that `text` describes; raises GateError with what is wrong and the nearest known name."""
    match = _GATE.fullmatch(text)
    if match is None:
        raise GateError(f"the gate {text[:80]!r} cannot be read; write for example 'top1 >= -1pt' or 'auc[sex] >= -0.01'.")
    column = None if match["slice"] is None else match["slice"].strip()
    if column == "":
        raise GateError(f"the gate {text!r} slices by a column without a name; write for example 'top1[sex] >= -2pt'.")
    if match["report"]:
        op = ">=" if is_user_metric(match["metric"]) else _direction(match["metric"])
        return Gate(match["metric"], "report", op, slice=column, group=match["group"])
    unit = "pt" if match["unit"].startswith("pt") else re.sub(r"%\s*of\s+reference", "% of reference", match["unit"])
    kind: Kind = "share" if "reference" in unit else "change" if unit == "pt" or (match["sign"] and unit == "") else "level"
    if match["sign"] and kind != "change":
        raise GateError(f"the gate {text!r} gives {unit!r} a sign; write points ('-1pt') for a change, or drop the sign.")
    amount = float(match["sign"] + match["digits"]) + 0.0
    return Gate(match["metric"], kind, match["op"], amount, unit, column, match["group"])


def parse_gates(texts: Iterable[str]) -> tuple[Gate, ...]:
    """All gates, in order; raises GateError for the first that cannot be read."""
    return tuple(parse_gate(text) for text in texts)


def check_columns(gate: Gate, columns: Iterable[str]) -> None:
    """Raise GateError, with the nearest name, when the data have no such column."""
    known = list(columns)
    for name in (gate.slice, gate.group):
        if name is not None and name not in known:
            if not known:
                raise GateError(
                    f"the gate '{gate}' asks for the column {name!r}, but the data have no columns; add it to the data."
                )
            raise GateError(unknown("column", name, known))


def check_labelled(gate: Gate, has_labels: bool) -> None:
    """Raise GateError when the metric needs labels and the data have none."""
    metric = find_metric(gate.metric)
    if metric is not None and metric.needs_labels and not has_labels:
        raise GateError(f"{gate.metric} needs labels, and the data have none; add labels, or use 'agreement >= 98%'.")


def _check(gate: Gate) -> None:
    """Refuse what could never be judged, or would always pass."""
    if not is_user_metric(gate.metric):
        metric = find_metric(gate.metric)
        if metric is None:
            raise GateError(unknown("metric", gate.metric, known_metrics()))
        if gate.op != _direction(gate.metric):
            better = "higher" if metric.is_higher_better else "lower"
            raise GateError(
                f"{gate.metric} is better when {better}, so a gate on it needs {_direction(gate.metric)!r}, not {gate.op!r}."
            )
        if metric.needs_reference and gate.kind in {"change", "share"}:
            raise GateError(
                f"{gate.metric} compares with the reference already; write a level, for example 'agreement >= 98%'."
            )
        if gate.unit in {"pt", "%"} and not metric.is_share:
            raise GateError(f"{gate.metric} is not a share, so {gate.unit!r} means nothing for it; write a plain number.")
    if gate.op not in {">=", "<="} or gate.unit not in _UNITS[gate.kind] or not math.isfinite(gate.amount):
        raise GateError(f"a gate on {gate.metric} has the bound '{gate.op} {gate.amount}{gate.unit}', which cannot be read.")
    if gate.kind == "level" and gate.is_higher_better and gate.amount <= 0:
        raise GateError(f"a level of {gate.amount:g} for {gate.metric} lets everything through; write '+0' for no loss at all.")
    if gate.kind == "share" and gate.amount <= 0:
        raise GateError(
            f"a share of {gate.amount:g} % for {gate.metric} lets everything through; write for example '99% of reference'."
        )


def _direction(name: str) -> str:
    metric = find_metric(name)
    return ">=" if metric is None or metric.is_higher_better else "<="


def _digits(value: float) -> str:
    text = repr(value)
    return text[:-2] if text.endswith(".0") else text
