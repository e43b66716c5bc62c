"""Comparing two builds, top to bottom: what was given, accuracy in pairs, size, times in turns or from records.

The level is shared: `alpha` over all judgements (each rule, each slice of a metric), and a timed one over its looks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ...calibration.dataset import Dataset
from ...core.errors import DataError, UsageError
from ...core.progress import Progress, Silent
from ...core.version import VERSION
from ...device_profiles.detect import host_cpu
from ...runtimes.bench.here import Case, bench_here, file_digest, parts
from ...runtimes.bench.latency import Budget
from ...runtimes.bench.opening import ModelFile, open_model, runtime_version
from ...runtimes.bench.record import BenchResult, read_report
from .accuracy import Judging, answer
from .figures import FIGURES, SHOWN
from .finding import Comparison, Finding, Side
from .judge import ruled
from .looks import plan_looks
from .measuring import Measured, Turns, measure_in_turns
from .records import match, record_findings, size_finding
from .rules import Rule

ALPHA = 0.05
SECONDS = 60.0
_STARTS = 5


@dataclass(frozen=True)
class Request:
    """BASE and HEAD (model files, artifacts, or reports of `edgewright bench --json`), rules, and how to judge them.

    `metrics` are shown beside those of rules; `data` are what metrics are computed on. Measuring in turns ends at the look
    after which another would take longer than `seconds`; with 0 only what a rule names is measured, once. `alpha` is the
    chance of any false regression.
    """

    base: Path
    head: Path
    rules: tuple[Rule, ...] = ()
    metrics: tuple[str, ...] = ()
    data: Dataset | None = None
    threads: int | None = None
    seconds: float = SECONDS
    alpha: float = ALPHA
    seed: int = 0
    label: str | None = None


def compare_builds(request: Request, progress: Progress | None = None) -> Comparison:
    """All findings; raises UsageError, DataError, GateError, RuntimeFailure or ArtifactError where a figure cannot be had."""
    if not 0 < request.alpha < 0.5:
        raise UsageError(f"an error level of {request.alpha} is not between 0 and 0.5; give for example 0.05.")
    shown = progress or Silent()
    if _is_report(request.base) or _is_report(request.head):
        return _from_records(request, shown)
    return _from_files(request, shown)


def _from_files(request: Request, progress: Progress) -> Comparison:
    files = (request.base, request.head)
    models = (open_model(request.base), open_model(request.head))
    sides = tuple(_side(file, model) for file, model in zip(files, models, strict=True))
    threads = (request.threads or models[0].threads, request.threads or models[1].threads)
    metric_rules = [rule for rule in request.rules if rule.is_metric]
    figure_rules = [rule for rule in request.rules if not rule.is_metric]
    judging = _answered(request, metric_rules, progress)
    subject = models[1].name
    judgements = len(figure_rules) + (0 if judging is None else judging.judgements)
    alpha = request.alpha / max(judgements, 1)
    timed = [rule for rule in figure_rules if FIGURES[rule.figure].source != "exact"]
    ruled = {rule.figure for rule in request.rules}
    beside = [name for name in SHOWN if name not in ruled and FIGURES[name].source != "exact" and request.seconds > 0]
    found: list[Finding] = []
    conditions: dict[str, object] = {"how": "turns", **_machine(models)}
    notes: list[str] = []
    if timed or beside:
        turns = Turns(files, models, threads, request.seconds, request.seed)
        measured, seen = measure_in_turns(turns, timed, beside, plan_looks(request.alpha, judgements), request.alpha, progress)
        found += [_finding(subject, item) for item in measured]
        conditions |= seen
        notes += _turn_notes(seen)
    sizes = [rule for rule in figure_rules if rule.figure == "size"]
    found += [size_finding(subject, sides[0].bytes, sides[1].bytes, rule) for rule in sizes or (None,)]
    if judging is not None:
        found += judging.findings(subject, alpha, request.alpha)
    if threads[0] != threads[1]:
        notes.append(f"BASE ran with {threads[0]} threads and HEAD with {threads[1]}, as each file asks.")
    return _comparison(request, sides[:1], sides[1:], found, conditions, notes)


def _answered(request: Request, rules: Sequence[Rule], progress: Progress) -> Judging | None:
    """Both builds' answers, or None where no metric is asked for; raises UsageError where one is and there are no data."""
    if request.data is None:
        wanted = next((rule.figure for rule in rules), next(iter(request.metrics), None))
        if wanted is not None:
            raise UsageError(f"{wanted} is computed on data, and none are given; add --data FILE.")
        return None
    files = (request.base, request.head)
    return answer(files, request.data, rules, request.metrics, request.threads, request.seed, progress)


def _from_records(request: Request, progress: Progress) -> Comparison:
    if request.data is not None:
        raise UsageError("a report holds no answers to compare on data; give both files, or leave --data away.")
    sliced = next((rule for rule in request.rules if rule.slice or rule.group), None)
    if sliced is not None:
        raise UsageError(f"the rule '{sliced}' needs each sample's answer, which no report holds; give both files and --data.")
    base = read_report(request.base).results if _is_report(request.base) else None
    head = read_report(request.head).results if _is_report(request.head) else None
    for path, results in ((request.base, base), (request.head, head)):
        if results is not None and not results:
            raise DataError(f"{path} holds no result; measure again.")
    before = base or _recorded(request, request.base, head or (), progress)
    after = head or _recorded(request, request.head, before, progress)
    pairs, notes = match(before, after)
    judgements = len(request.rules) * len(pairs)
    alpha = request.alpha / max(judgements, 1)
    ruled = {rule.figure for rule in request.rules}
    shown = [name for name in (*SHOWN, *request.metrics) if name not in ruled]
    found: list[Finding] = []
    for pair in pairs:
        found += record_findings(pair, request.rules, shown, alpha, request.alpha)
    if any(item.how == "records" for item in found):
        notes.append(
            "Records were not measured in turns: intervals of times are 3 % wider each way. Give files where they run."
        )
    sides = [tuple(_recorded_side(item) for item in results) for results in (before, after)]
    return _comparison(request, sides[0], sides[1], found, {"how": "records"}, notes)


def _recorded(request: Request, path: Path, other: Sequence[BenchResult], progress: Progress) -> tuple[BenchResult, ...]:
    """A file's own record, measured here as the other side's was."""
    model = open_model(path)
    alike = sorted({(item.threads, item.batch) for item in other if item.name == model.name or len(other) == 1})
    wants_processes = any(not rule.is_metric and FIGURES[rule.figure].source == "process" for rule in request.rules)
    starts = _STARTS if wants_processes else 0
    with progress.task(f"measuring {path.name}", len(alike)) as advance:
        found = []
        for threads, batch in alike or [(request.threads or model.threads, 1)]:
            found.append(
                bench_here(
                    Case(path, request.threads or threads, batch),
                    budget=_budget(request.seconds),
                    starts=starts,
                    seed=request.seed,
                )
            )
            advance(1)
    return tuple(found)


def _budget(seconds: float) -> Budget:
    """What `edgewright bench` takes, or less where that is not given."""
    usual = Budget()
    return Budget(warm_up_s=min(usual.warm_up_s, seconds / 4), total_s=min(usual.total_s, seconds))


def _finding(subject: str, item: Measured) -> Finding:
    figure, rule, bounded = FIGURES[item.figure], item.rule, item.bounded
    found = Finding(
        subject=subject,
        figure=figure.name,
        unit=figure.unit,
        scale="relative" if rule is None else rule.scale,
        how="turns" if figure.source == "timing" else "processes",
        n=bounded.n,
        confidence=1 - item.alpha,
        base=item.base,
        head=item.head,
        measured=bounded.estimate,
        low=bounded.low if math.isfinite(bounded.low) else None,
        high=bounded.high if math.isfinite(bounded.high) else None,
        is_higher_better=figure.is_higher_better,
    )
    return ruled(found, rule, item.judged)


def _turn_notes(conditions: dict[str, object]) -> list[str]:
    notes = []
    if conditions["is_disturbed"]:
        drift = float(str(conditions["kernel_drift"]))
        notes.append(f"The machine was disturbed: a fixed kernel changed by {drift:+.1%}. Both sides were hit alike, in turns.")
    if conditions.get("interrupted_runs_count"):
        notes.append("HEAD was interrupted more often for its time than BASE, so interrupted runs count for both.")
    return notes


def _comparison(
    request: Request,
    base: Sequence[Side],
    head: Sequence[Side],
    found: Sequence[Finding],
    conditions: dict[str, object],
    notes: Sequence[str],
) -> Comparison:
    """Findings with a rule first, worst first; those that are shown after them."""
    order = ("regression", "undecided", "noise", "none", "shown")
    return Comparison(
        at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=VERSION,
        base=tuple(base),
        head=tuple(head),
        findings=tuple(sorted(found, key=lambda item: order.index(item.status))),
        alpha=request.alpha,
        conditions=conditions,
        notes=tuple(notes),
        label=request.label,
    )


def _machine(models: Sequence[ModelFile]) -> dict[str, object]:
    cpu = host_cpu()
    return {"cpu": cpu.model, "runtimes": {model.runtime: runtime_version(model.runtime) for model in models}}


def _side(file: Path, model: ModelFile) -> Side:
    size = sum(part.stat().st_size for part in parts(file))
    return Side(str(file), model.name, file_digest(file), size, model.runtime)


def _recorded_side(item: BenchResult) -> Side:
    return Side(item.file, item.name, item.sha256, item.bytes, item.runtime)


def _is_report(path: Path) -> bool:
    return path.suffix == ".json"
