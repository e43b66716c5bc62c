"""How the report says things: numbers with units, names of metrics and runtimes, and a verdict in a sentence.

The terminal and the HTML page share these words, so that both say the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from .parts import Judgement, Latency, Speedup
from .types import Candidate, TargetReport

NONE = "-"
RUNTIMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "litert": "LiteRT"}
_MEASURED_ON = {"target": "the target's own kernels", "emulated": "the target's kernels under emulation"}
_METRICS = {"auc": "AUC", "roc_auc": "ROC AUC", "ap": "average precision", "mae": "MAE", "rmse": "RMSE", "r2": "R²", "f1": "F1"}
_PROPORTION = re.compile(r"(top-?\d+|accuracy|precision|recall|f1|agreement)([_-].*)?")
_LOWER_IS_BETTER = re.compile(r"(mae|rmse|mse|loss|error)([_-].*)?")
_BOUND = re.compile(r"(?P<op>[<>]=)\s*(?P<sign>[+-]?)[\d.eE+-]+\s*(?P<unit>pts?|%\s*of\s+reference|%|)\s*$")

Kind = Literal["difference", "ratio", "value"]


def printable(text: str) -> str:
    """`text` on one line without control characters, so that a name cannot drive a terminal or hide in a page."""
    return "".join(char if char.isprintable() else " " if char.isspace() else "�" for char in text)


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, cut with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def metric_title(name: str) -> str:
    """A metric as people write it: "top1" is top-1."""
    top = re.fullmatch(r"top-?(\d+)", name)
    return f"top-{top[1]}" if top else _METRICS.get(name, printable(name))


def runtime_title(name: str) -> str:
    """A runtime as its makers write it."""
    return RUNTIMES.get(name, printable(name))


def candidate_title(candidate: Candidate) -> str:
    """ "int8 on LiteRT"."""
    variant = f" ({printable(candidate.variant)})" if candidate.variant else ""
    return f"{printable(candidate.precision)}{variant} on {runtime_title(candidate.runtime)}"


def measured_on(candidate: Candidate) -> str:
    """Whose kernels a candidate's accuracy was judged on."""
    if candidate.measured_on is None:
        return "no kernels at all"
    reference = "exact integer arithmetic" if candidate.precision == "int8" else "float kernels of this machine's CPU"
    return _MEASURED_ON.get(candidate.measured_on, reference)


def number(value: float | None, digits: int = 3) -> str:
    """`digits` significant digits, thousands apart, no exponent below a billion."""
    if value is None:
        return NONE
    size = abs(value)
    if size >= 1e9 or 0 < size < 1e-6:
        return f"{value:.{digits - 1}e}"
    if size >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    if size == 0:
        return "0"
    text = f"{value:.{digits}g}"
    if "e" in text:
        return text
    whole = len(text.lstrip("-").split(".")[0].lstrip("0"))
    return f"{value:.{max(digits - whole, 0)}f}" if size >= 1 else f"{value:#.{digits}g}"


def count(value: int | None) -> str:
    """A whole number with thousands apart."""
    return (
        NONE if value is None else f"{value:,}" if abs(value) < 10**15 else f"{float(value):.2e}" if value < 10**300 else "huge"
    )


def size(value: float | None) -> str:
    """Bytes in decimal units."""
    if value is None:
        return NONE
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(value) >= factor * 0.9995:
            return f"{number(min(float(min(value, 1e300)) / factor, 1e300))} {unit}"
    return f"{value:.0f} B"


def quantity(value: float | None, unit: str = "") -> str:
    """A large count in thousands (k), millions (M) or billions (G)."""
    if value is None:
        return NONE
    for prefix, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= factor:
            return f"{number(min(value, 10**300) / factor)} {prefix}{unit}"
    return f"{number(value)} {unit}".strip()


def seconds(value: float | None) -> str:
    """A duration in seconds, or minutes and seconds."""
    if value is None:
        return NONE
    return f"{number(value)} s" if value < 120 else f"{count(int(value // 60))} min {int(value % 60)} s"


def times(speedup: Speedup | None) -> str:
    """ "1.92x"."""
    return NONE if speedup is None or speedup.ratio is None else f"{number(speedup.ratio)}x"


def p50(latency: Latency | None) -> str:
    """Median latency in milliseconds, or in microseconds with their unit where it is below a hundredth of one."""
    return NONE if latency is None else short_milliseconds(latency.p50)


def short_milliseconds(value: float | None) -> str:
    """A latency in milliseconds, below a hundredth of one in microseconds: "5.0 us"."""
    return f"{value * 1000:.1f} us" if value is not None and 0.00005 <= value < 0.01 else number(value)


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction in per cent."""
    return NONE if value is None else f"{value * 100:.{digits}f} %"


def is_lower_better(judgement: Judgement) -> bool:
    """Whether a smaller value is the better one: then the gate bounds it from above."""
    written = _BOUND.search(judgement.gate)
    if written:
        return written["op"] == "<="
    return _LOWER_IS_BETTER.fullmatch(judgement.metric) is not None


def kind_of(judgement: Judgement) -> Kind:
    """What `measured` is: candidate less reference, candidate over reference, or the candidate's value.

    The gate's text says so; without a bound in it (report-only) the numbers do.
    """
    written = _BOUND.search(judgement.gate)
    if written:
        unit = written["unit"]
        return "ratio" if "reference" in unit else "difference" if written["sign"] or unit.startswith("pt") else "value"
    reference, candidate, measured = judgement.reference, judgement.candidate, judgement.measured
    if reference is None or candidate is None or measured is None:
        return "value" if reference is None and candidate is not None else "difference"
    return "difference" if abs(measured - (candidate - reference)) <= abs(measured - candidate) else "value"


@dataclass(frozen=True)
class Unit:
    """How a gate's numbers are written: times `factor`, with `digits` after the point, a sign and a suffix."""

    factor: float
    digits: int
    is_signed: bool
    suffix: str

    def text(self, value: float | None) -> str:
        """The number alone."""
        if value is None:
            return NONE
        scaled = value * self.factor
        if abs(scaled) >= 1e6:
            return f"{scaled:.1e}"
        text = f"{scaled:{'+' if self.is_signed else ''}.{self.digits}f}"
        return text.lstrip("+-") if float(text) == 0 else text

    def full(self, value: float | None) -> str:
        """The number with its suffix."""
        return self.text(value) + (f" {self.suffix}" if self.suffix and value is not None else "")


POINTS = Unit(100.0, 2, True, "points")
PERCENT = Unit(100.0, 2, False, "%")


def unit_of(judgement: Judgement) -> Unit:
    """Points for a difference of proportions, per cent for shares, the metric's own unit for the rest."""
    kind = kind_of(judgement)
    if kind == "ratio":
        return PERCENT
    written = _BOUND.search(judgement.gate)
    if written and written["unit"]:
        return POINTS if kind == "difference" else PERCENT
    if _PROPORTION.fullmatch(judgement.metric):
        return POINTS if kind == "difference" else PERCENT
    largest = max(
        (abs(value) for value in (judgement.measured, judgement.threshold, judgement.bound) if value is not None), default=0.0
    )
    return Unit(1.0, 4 if largest < 10 else 2, kind == "difference", "")


def metric_value(name: str, value: float | None) -> str:
    """A metric's value: proportions in per cent."""
    if _PROPORTION.fullmatch(name):
        return PERCENT.full(value)
    return NONE if value is None else number(value, 4)


def leading(candidate: Candidate) -> Judgement | None:
    """The verdict that decides how a candidate stands: the worst, the whole set before its slices."""
    order = {"failed": 0, "undecided": 1, "passed": 2, "reported": 3}
    ranked = sorted(enumerate(candidate.verdicts), key=lambda item: (order[item[1].status], item[1].slice is not None, item[0]))
    return ranked[0][1] if ranked else None


def judgement_title(judgement: Judgement) -> str:
    """ "top-1" or "top-1 [sex=female]"."""
    return metric_title(judgement.metric) + (f" [{printable(judgement.slice)}]" if judgement.slice else "")


def judgement_text(judgement: Judgement) -> str:
    """ "top-1 98.91 % against the reference's 98.93 %; change -0.02 points (bound -0.71, margin -1.00, n = 2,963)"."""
    unit, kind = unit_of(judgement), kind_of(judgement)
    limit = "margin" if kind == "difference" else "gate"
    gate = f"bound {unit.text(judgement.bound)}, {limit} {unit.text(judgement.threshold)}, "
    inside = ("" if judgement.status == "reported" else gate) + f"n = {count(judgement.n)}"
    told = unit.full(judgement.measured) + (" of the reference" if kind == "ratio" else "")
    if judgement.candidate is not None and judgement.reference is not None:
        ours, theirs = (metric_value(judgement.metric, value) for value in (judgement.candidate, judgement.reference))
        change = {"difference": f"; change {told}", "ratio": f"; {told}", "value": ""}[kind]
        told = f"{ours} against the reference's {theirs}{change}"
    return f"{judgement_title(judgement)} {told} ({inside})"


def variant_title(name: str) -> str:
    """A variant's name; the plain model has none of its own."""
    return printable(name) or "plain"


def smaller(target: TargetReport, candidate: Candidate) -> str:
    """By how much it is smaller than the best float32 file, "74 %", or nothing where either size is unknown."""
    share = _saved(target, candidate)
    return NONE if share is None else _share(share)


def _saved(target: TargetReport, candidate: Candidate) -> float | None:
    base = target.reference
    if base is None or not base.size_bytes or not candidate.size_bytes:
        return None
    return 1 - candidate.size_bytes / base.size_bytes


def _share(value: float) -> str:
    """A share in per cent; from 90 % on a decimal tells, and a millionfold is enough."""
    if abs(value) < 0.005:
        return "0 %"
    return percent(max(value, -1e4), 1 if value >= 0.9 else 0)


def size_change(target: TargetReport) -> str:
    """ "74 % smaller" than the best float32 file, or nothing where either size is unknown."""
    winner = target.winner
    share = None if winner is None or winner.key == target.baseline else _saved(target, winner)
    if share is None:
        return ""
    if abs(share) < 0.005:
        return "the same size"
    return _share(abs(share)) + (" smaller" if share > 0 else " larger")


def speed_change(target: TargetReport) -> str:
    """ "1.9x faster (95 % interval 1.8 to 2.0)", or why there is no such figure."""
    winner = target.winner
    if winner is None:
        return ""
    disturbed = "the machine was disturbed while timing" if target.conditions.get("disturbed") is True else ""
    if winner.key == target.baseline:
        return disturbed
    if winner.speedup is None or winner.speedup.ratio is None:
        return "latency not measured" if winner.latency_ms is None else disturbed
    ratio, low, high = winner.speedup.ratio, winner.speedup.low, winner.speedup.high
    way = "the speed" if ratio < 1 else "faster"
    interval = f" (95 % interval {number(low)} to {number(high)})" if low is not None and high is not None else ""
    return f"{number(ratio)}x {way}{interval}" + (f"; {disturbed}" if disturbed else "")


def reasons(candidate: Candidate) -> list[str]:
    """Why each missing figure of a candidate is missing, in words; a reason is given for every dash in the tables."""
    titles = {"size_bytes": "size", "latency_ms": "latency", "speedup": "speed-up", "verdicts": "verdict"}
    found: dict[str, list[str]] = {}
    for name, title in titles.items():
        value = getattr(candidate, name)
        is_empty = (isinstance(value, Latency) and value.p50 is None) or (isinstance(value, Speedup) and value.ratio is None)
        if value is None or value == () or is_empty:
            found.setdefault(printable(candidate.missing.get(name, "")) or "not measured", []).append(title)
    return [f"{', '.join(names)}: {reason}" for reason, names in found.items()]
