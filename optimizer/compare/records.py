"""Comparing records of `edgewright bench`, not measured in turns: intervals from windows, wider for what passed between.

Windows of one record lie close together; another record of the same file lies further off, because the machine is another by
then. So an interval of times is widened, each way, by the change of the fixed kernel that either record saw, and at
least by the 3 % below which a machine counts as undisturbed. A disturbed record shows no regression.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...core.errors import DataError
from ...runtimes.bench.measurement import Measurement
from ...runtimes.bench.record import BenchResult
from ...runtimes.bench.record import Figure as Accuracy
from ...stats.paired import normal_quantile
from ...stats.rank_bounds import two_sample_shift
from ..gates.registry import find_metric
from .figures import FIGURES
from .finding import Finding
from .judge import Bounded, Judged, judge, judge_exact, ruled
from .rules import Rule, Scale

_UNSEEN = 0.03
Key = tuple[str, str, int, int, str | None]


@dataclass(frozen=True)
class Matched:
    """Records of one model in BASE and HEAD that were measured alike, and what to call them."""

    subject: str
    base: tuple[BenchResult, ...]
    head: tuple[BenchResult, ...]


def match(base: Sequence[BenchResult], head: Sequence[BenchResult]) -> tuple[list[Matched], list[str]]:
    """Records by name, runtime, threads, batch and profile, and a note on each that has no other side.

    One record against one needs no common name. Raises DataError where nothing matches.
    """
    sides = [_by_key(side) for side in (base, head)]
    if all(len(side) == 1 for side in sides):
        (before,), (after,) = (side.values() for side in sides)
        _check_alike(before[0], after[0])
        return [Matched(after[0].name, tuple(before), tuple(after))], []
    both = [key for key in sides[0] if key in sides[1]]
    if not both:
        raise DataError("no record of BASE has the name, runtime, threads and batch of one of HEAD; measure both alike.")
    notes = [
        f"{_title(key)} is in {place} alone and was not compared."
        for place, one, other in (("BASE", sides[0], sides[1]), ("HEAD", sides[1], sides[0]))
        for key in one
        if key not in other
    ]
    names = {key[0] for key in both}
    called: dict[Key, str] = {key: key[0] if len(names) == len(both) else _title(key) for key in both}
    return [Matched(called[key], tuple(sides[0][key]), tuple(sides[1][key])) for key in both], notes


def record_findings(
    pair: Matched, rules: Sequence[Rule], shown: Sequence[str], alpha: float, shown_alpha: float
) -> list[Finding]:
    """A finding a rule at `alpha`, then of each figure that is shown and can be had.

    Raises DataError for a rule whose figure a record lacks, and for times of different machines.
    """
    found = [_judged(pair, rule.figure, rule, alpha) for rule in rules]
    for name in shown:
        if _has(pair, name):
            found.append(_judged(pair, name, None, shown_alpha))
    return found


def _judged(pair: Matched, name: str, rule: Rule | None, alpha: float) -> Finding:
    if name not in FIGURES:
        return _judged_metric(pair, name, rule, alpha)
    figure = FIGURES[name]
    if name == "size":
        return size_finding(pair.subject, pair.base[0].bytes, pair.head[0].bytes, rule)
    before, after = (np.array(_values(side, name), dtype=np.float64) for side in (pair.base, pair.head))
    _check_machines(pair)
    scale: Scale = "relative" if rule is None else rule.scale
    widest = max(_UNSEEN, *(abs(item.measurement.drift) for item in (*pair.base, *pair.head) if item.measurement is not None))
    spare = math.log1p(widest) if name != "memory" else 0.0
    shift = two_sample_shift(np.log(before), np.log(after), alpha)
    ends = [shift.estimate, shift.low - spare, shift.high + spare]
    middle, head = float(np.median(before)), float(np.median(after))
    if scale == "relative":
        ends = [math.expm1(end) for end in ends]
    elif scale == "change":
        ends = [middle * math.expm1(end) for end in ends]
    else:
        ends = [middle * math.exp(end) for end in ends]
    bounded = Bounded(ends[0], ends[1], ends[2], min(len(before), len(after)), "windows")
    judged = None if rule is None else judge(rule, bounded, figure.unit)
    if judged is not None and name != "memory":
        judged = _undisturbed(pair, judged)
    found = Finding(
        subject=pair.subject,
        figure=name,
        unit=figure.unit,
        scale=scale,
        how="records",
        n=bounded.n,
        confidence=1 - alpha,
        base=middle,
        head=head,
        measured=ends[0],
        low=_finite(ends[1]),
        high=_finite(ends[2]),
        is_higher_better=figure.is_higher_better,
    )
    # More windows of the same two records do not take away what passed between them.
    return ruled(found, rule, None if judged is None else replace(judged, n_needed=None))


def size_finding(subject: str, base: int, head: int, rule: Rule | None) -> Finding:
    """The finding on two sizes in bytes, which are known without error."""
    scale: Scale = "relative" if rule is None else rule.scale
    # A file of no bytes has no share that could be asked for; it counts as one byte.
    value = {"relative": head / max(base, 1) - 1, "change": float(head - base), "level": float(head)}[scale]
    judged = None if rule is None else judge_exact(rule, value, "B")
    found = Finding(
        subject=subject,
        figure="size",
        unit="B",
        scale=scale,
        how="exact",
        n=1,
        confidence=None,
        base=float(base),
        head=float(head),
        measured=value,
        low=value,
        high=value,
    )
    return ruled(found, rule, judged)


def _judged_metric(pair: Matched, name: str, rule: Rule | None, alpha: float) -> Finding:
    """A metric of two records: independent intervals are joined (MOVER), which for the same samples is rather too wide.

    Source: Donner and Zou, Statistical Methods in Medical Research 21 (2012) 347-359.
    """
    before, after = (_accuracy(side, name) for side in (pair.base, pair.head))
    metric = find_metric(name)
    scale: Scale = "change" if rule is None else rule.scale
    gap = after.value - before.value
    low = gap - math.hypot(_reach(after, "low", alpha), _reach(before, "high", alpha))
    high = gap + math.hypot(_reach(after, "high", alpha), _reach(before, "low", alpha))
    ends = [gap, low, high]
    if scale == "relative":
        if before.value == 0:
            raise DataError(f"{name} of BASE is 0, and no share of that can be asked for; give a change, for example '-0.5pt'.")
        ends = sorted(end / before.value for end in ends)
        ends = [gap / before.value, ends[0], ends[2]]
    elif scale == "level":
        ends = [after.value, after.value - _reach(after, "low", alpha), after.value + _reach(after, "high", alpha)]
    bounded = Bounded(ends[0], ends[1], ends[2], min(before.n, after.n), "samples")
    is_share = metric is not None and metric.is_share
    judged = None if rule is None else judge(rule, bounded, "", is_share=is_share)
    found = Finding(
        subject=pair.subject,
        figure=name,
        unit="",
        scale=scale,
        how="records",
        n=bounded.n,
        confidence=1 - alpha,
        base=before.value,
        head=after.value,
        measured=ends[0],
        low=ends[1],
        high=ends[2],
        is_share=is_share,
        is_higher_better=metric.is_higher_better if metric is not None else rule is not None and rule.op == "<",
    )
    return ruled(found, rule, judged)


def _reach(figure: Accuracy, end: str, alpha: float) -> float:
    """How far a bound lies from the value, brought from the record's level to `alpha` along normal quantiles."""
    bound = figure.low if end == "low" else figure.high
    if bound is None:
        raise DataError("a record holds a metric without an interval; give both files and --data, which compares in pairs.")
    return abs(figure.value - bound) * float(normal_quantile(alpha)) / float(normal_quantile((1 - figure.confidence) / 2))


def _accuracy(side: Sequence[BenchResult], name: str) -> Accuracy:
    for item in side:
        if item.accuracy is not None and name in item.accuracy:
            return item.accuracy[name]
    raise DataError(
        f"{side[0].file} was recorded without {name}; record it with `edgewright bench --data`, or give both files and --data."
    )


def _undisturbed(pair: Matched, judged: Judged) -> Judged:
    """What was judged; where a record is of a disturbed machine, a regression is no more than a suspicion."""
    disturbed = [item for item in (*pair.base, *pair.head) if item.measurement is not None and item.measurement.is_disturbed]
    if judged.status != "regression" or not disturbed:
        return judged
    return Judged("undecided", f"{judged.why[:-1]}, but the machine was disturbed while one was recorded; measure again.")


def _has(pair: Matched, name: str) -> bool:
    if name == "size":
        return True
    if name not in FIGURES:
        return all(any(item.accuracy is not None and name in item.accuracy for item in side) for side in (pair.base, pair.head))
    is_alike = all(item.measurement is not None for item in (*pair.base, *pair.head)) and _machine_fault(pair) is None
    return is_alike and all(_windows(item.measurement, name) for side in (pair.base, pair.head) for item in side)


def _values(side: Sequence[BenchResult], name: str) -> list[float]:
    """The windows of the only record, or a value a record where there are several."""
    found = []
    for item in side:
        values = _windows(item.measurement, name)
        if not values:
            raise DataError(f"{item.file} was recorded without {name}; measure it again, or give the files themselves.")
        found.append(values)
    if len(found) == 1:
        return found[0]
    return [float(np.median(values)) for values in found]


def _windows(found: Measurement | None, name: str) -> list[float]:
    """What a record holds of a timing or process figure, a value a window or process; [] where it was not measured."""
    if found is None:
        return []
    values = {
        "p50_ms": found.window_ms,
        "p90_ms": found.window_p90_ms,
        "p99_ms": found.window_p99_ms,
        "throughput": found.window_throughput,
        "cold_start_ms": found.cold_starts_ms,
        "first_ms": found.first_runs_ms,
        "memory": found.rss_growths_bytes or (() if found.rss_growth_bytes is None else (found.rss_growth_bytes,)),
    }[name]
    return [max(float(value), 1.0 if name == "memory" else 1e-6) for value in values or ()]


def _check_machines(pair: Matched) -> None:
    fault = _machine_fault(pair)
    if fault is not None:
        raise DataError(fault)


def _machine_fault(pair: Matched) -> str | None:
    """Why the times cannot be compared, or None."""
    cpus = {item.measurement.cpu for item in (*pair.base, *pair.head) if item.measurement is not None}
    if len(cpus) > 1:
        return f"{pair.subject} was recorded on {' and on '.join(sorted(cpus))}; times of different CPUs do not compare."
    return None


def _check_alike(base: BenchResult, head: BenchResult) -> None:
    for what in ("threads", "batch"):
        one, other = getattr(base, what), getattr(head, what)
        if one != other:
            raise DataError(f"BASE was recorded with {what} {one} and HEAD with {other}; measure both alike.")


def _by_key(side: Sequence[BenchResult]) -> dict[Key, list[BenchResult]]:
    found: dict[Key, list[BenchResult]] = {}
    for item in side:
        found.setdefault((item.name, item.runtime, item.threads, item.batch, item.profile), []).append(item)
    return found


def _title(key: Key) -> str:
    name, runtime, threads, batch, profile = key
    where = f", {profile}" if profile else ""
    return f"{name} ({runtime}, threads {threads}, batch {batch}{where})"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
