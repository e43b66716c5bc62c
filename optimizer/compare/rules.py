"""The text of a rule, which says what a regression is and reads back as the rule that printed it.

    rule   = figure op number
           | metric ["[" column "]"] ["by" column] op number
    op     = ">" | "<"                  the side on which it is worse: p90_ms > +5%, top1 < -0.5pt
    number = sign digits "%"            a change against BASE, relative
           | sign digits unit           a change in the figure's own unit: p90_ms > +2ms, size > +20kB, auc < -0.01
           | sign digits "pt"           a change of a share in points
           | digits ["%" | unit]        a level of HEAD alone: p90_ms > 20ms, top1 < 90%
    figure = p50_ms | p90_ms | p99_ms | throughput | cold_start_ms | first_ms | memory | size
    metric = any of the gates'
    unit   = us | ms | s (times)  |  B | kB | MB | GB (bytes)  |  /s (throughput); without one ms, B, /s

A rule on a metric is the gate that asks for the opposite: `top1 < -0.5pt` is broken where `top1 >= -0.5pt` fails.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ...core.errors import UsageError, unknown
from ..gates.registry import find_metric, is_user_metric, known_metrics
from ..gates.text import Gate, parse_gate
from .figures import FIGURES, Figure

Scale = Literal["relative", "change", "level"]

_UNITS = {
    "ms": {"us": 1e-3, "ms": 1.0, "s": 1e3},
    "B": {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9},
    "/s": {"/s": 1.0},
}
_RULE = re.compile(
    r"""\s*(?P<name>[^\s\[\]<>=]+)\s*
    (?:\[\s*(?P<slice>[^\[\]]*?)\s*\]\s*)?
    (?:\bby\s+(?P<group>[^\s\[\]<>=]+)\s*)?
    (?P<op>[<>])\s*(?P<sign>[+-]?)\s*(?P<digits>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)\s*(?P<unit>[A-Za-z%/]*)\s*""",
    re.VERBOSE,
)
_MOST_RULES = 100


@dataclass(frozen=True)
class Rule:
    """What is a regression: `figure` (a figure or a metric) on the worse side of `amount`, given in `unit`."""

    figure: str
    op: Literal["<", ">"]
    scale: Scale
    amount: float
    unit: str = ""
    slice: str | None = None
    group: str | None = None

    @property
    def threshold(self) -> float:
        """The number on the figure's own scale: +5% is 0.05, +2us is 0.002 (ms), -0.5pt is -0.005."""
        return self.amount * self._factor

    @property
    def is_metric(self) -> bool:
        """Whether a gate judges it."""
        return self.figure not in FIGURES

    @property
    def gate(self) -> Gate:
        """The gate that fails where the rule is broken; raises GateError for a request that no data can fulfil."""
        head = self.figure + (f"[{self.slice}]" if self.slice else "") + (f" by {self.group}" if self.group else "")
        op = ">=" if self.op == "<" else "<="
        if self.scale == "relative":
            return parse_gate(f"{head} {op} {_digits(100 + self.amount)}% of reference")
        return parse_gate(f"{head} {op} {self._number}")

    @property
    def _factor(self) -> float:
        if self.unit in {"%", "pt"}:
            return 0.01
        figure = FIGURES.get(self.figure)
        return _UNITS[figure.unit][self.unit] if figure is not None and self.unit else 1.0

    @property
    def _number(self) -> str:
        sign = "" if self.scale == "level" else "-" if self.amount < 0 else "+"
        return f"{sign}{_digits(abs(self.amount))}{self.unit}"

    def __str__(self) -> str:
        head = self.figure + (f"[{self.slice}]" if self.slice else "") + (f" by {self.group}" if self.group else "")
        return f"{head} {self.op} {self._number}"


def parse_rule(text: str) -> Rule:
    """The rule that `text` describes; raises UsageError (or GateError, for a metric) with what is wrong."""
    match = _RULE.fullmatch(text)
    if match is None:
        raise UsageError(f"the rule {text[:80]!r} cannot be read; write for example 'p90_ms > +5%' or 'top1 < -0.5pt'.")
    sign, unit = match["sign"], "pt" if match["unit"] == "pts" else match["unit"]
    scale: Scale = "level" if not sign else "relative" if unit == "%" else "change"
    rule = Rule(
        match["name"],
        "<" if match["op"] == "<" else ">",
        scale,
        float(sign + match["digits"]) + 0.0,
        unit,
        match["slice"],
        match["group"],
    )
    if not math.isfinite(rule.amount):
        raise UsageError(f"the rule {text!r} has a number that is not finite; write for example 'p90_ms > +5%'.")
    figure = FIGURES.get(rule.figure)
    if figure is not None:
        _check_figure(rule, figure, text)
    elif find_metric(rule.figure) is None and not is_user_metric(rule.figure):
        raise UsageError(unknown("figure or metric", rule.figure, [*FIGURES, *known_metrics()]))
    else:
        _check_metric(rule, text)
    return rule


def parse_rules(texts: Iterable[str]) -> tuple[Rule, ...]:
    """All rules, in order; raises UsageError for the first that cannot be read, a rule given twice, and more than a hundred."""
    rules = tuple(parse_rule(text) for text in texts)
    if len(rules) > _MOST_RULES:
        raise UsageError(f"{len(rules)} rules share one error level, which leaves none enough; give at most {_MOST_RULES}.")
    for number, rule in enumerate(rules):
        if rule in rules[:number]:
            raise UsageError(f"the rule '{rule}' is given twice; give it once.")
    return rules


def _check_figure(rule: Rule, figure: Figure, text: str) -> None:
    if rule.slice is not None or rule.group is not None:
        raise UsageError(f"the rule {text!r} slices {figure.name}, which has no samples; only metrics have slices and groups.")
    if (rule.op == "<") != figure.is_higher_better:
        better, op = ("higher", "<") if figure.is_higher_better else ("lower", ">")
        raise UsageError(
            f"{figure.name} is better when {better}, so a rule on it needs {op!r}; write '{figure.name} {op} ...'."
        )
    units = _UNITS[figure.unit]
    if rule.scale == "relative":
        if rule.amount <= -100:
            raise UsageError(f"the rule {text!r} asks for a change of -100 % or less, which nothing has; give a smaller one.")
        return
    if rule.unit not in {"", *units}:
        known = ", ".join(units)
        raise UsageError(
            f"the rule {text!r} gives {figure.name} in {rule.unit!r}; write a change in % ('+5%') or one of {known}."
        )
    if rule.scale == "level" and rule.amount <= 0:
        raise UsageError(
            f"the rule {text!r} has a level of nothing, which all or none break; write a change, for example '+5%'."
        )


def _check_metric(rule: Rule, text: str) -> None:
    metric = find_metric(rule.figure)
    is_higher_better = rule.op == "<" if metric is None else metric.is_higher_better
    if (rule.op == "<") != is_higher_better:
        better, op = ("higher", "<") if is_higher_better else ("lower", ">")
        raise UsageError(
            f"{rule.figure} is better when {better}, so a rule on it needs {op!r}; write '{rule.figure} {op} ...'."
        )
    if rule.unit not in {"", "%", "pt"}:
        raise UsageError(f"the rule {text!r} gives a metric in {rule.unit!r}; write points ('-0.5pt'), % or a plain number.")
    if rule.unit == "pt" and rule.scale == "level":
        raise UsageError(f"the rule {text!r} has points without a sign; write '-{_digits(abs(rule.amount))}pt' for a loss.")
    if rule.slice == "":
        raise UsageError(f"the rule {text!r} slices by a column without a name; write for example 'top1[sex] < -2pt'.")
    _ = rule.gate


def _digits(value: float) -> str:
    text = repr(round(value, 12))
    return text[:-2] if text.endswith(".0") else text
