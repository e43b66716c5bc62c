"""Metrics of two builds on the same samples, by the gates' paired statistics with BASE as the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...calibration.bind import bind
from ...calibration.dataset import Dataset, Split
from ...core.errors import UsageError
from ...core.progress import Progress
from ..answers import Arrays, answers, under_names_of
from ..exam import Exam, prepare_exam
from ..gates.defaults import default_gate
from ..gates.judge import judge
from ..gates.registry import find_metric
from ..gates.text import Gate, check_columns, check_labelled, parse_gate
from ..gates.verdict import Status as GateStatus
from ..gates.verdict import Verdict
from ..prepare import check_data
from .finding import Finding, Status
from .rules import Rule, Scale

_STATUS: Mapping[GateStatus, Status] = {"failed": "regression", "passed": "none", "undecided": "undecided", "reported": "shown"}


@dataclass(frozen=True)
class Judging:
    """Answers of both builds, ready to be judged: how many judgements the rules make, and the judging itself."""

    exam: Exam
    head: Arrays
    rules: tuple[Rule, ...]
    shown: tuple[Gate, ...]
    seed: int

    @property
    def judgements(self) -> int:
        """How many parts the rules are judged on: the whole, and each value of a rule's slice column."""
        return sum(1 + self._values(rule.slice) for rule in self.rules)

    def findings(self, subject: str, alpha: float, shown_alpha: float) -> list[Finding]:
        """A finding a part of each rule at `alpha`, then what is shown; raises GateError for what these data cannot judge."""
        found = []
        for rule in self.rules:
            found += [_finding(subject, rule, rule.gate, verdict) for verdict in self._judged(rule.gate, alpha)]
        for gate in self.shown:
            found += [_finding(subject, None, gate, verdict) for verdict in self._judged(gate, shown_alpha)]
        return found

    def _judged(self, gate: Gate, alpha: float) -> list[Verdict]:
        exam = self.exam
        candidate = self.head.get(exam.output)
        if candidate is None:
            raise UsageError(f"HEAD has no output {exam.output!r}, which BASE has; compare builds of one model.")
        return judge(
            gate, exam.reference, candidate, exam.labels, exam.columns, inputs=exam.inputs, alpha=alpha, seed=self.seed
        )

    def _values(self, column: str | None) -> int:
        return 0 if column is None else len({str(value) for value in self.exam.columns[column].tolist()})


def answer(
    files: tuple[Path, Path],
    data: Dataset,
    rules: Sequence[Rule],
    metrics: Sequence[str],
    threads: int | None,
    seed: int,
    progress: Progress,
) -> Judging:
    """Run both files on all of `data`. `metrics` are shown beside the rules'; with neither one that fits is chosen.

    Raises GateError and DataError for rules that these data can never judge, RuntimeFailure when a file fails to run.
    """
    gates = [rule.gate for rule in rules]
    shown = [parse_gate(f"{name} report-only") for name in metrics]
    before, after = (answers(file, data, threads, progress) for file in files)
    bound = bind(data, data.inputs)
    split = Split("data", bound, tuple(range(len(bound))))
    output = next(iter(before))
    if not gates and not shown:
        exam = prepare_exam(split, before, output, ())
        chosen = default_gate(exam.labels, exam.reference, [spec.shape for spec in bound.inputs])
        shown = [parse_gate(f"{chosen.metric} report-only")]
    check_data(bound, gates)
    for gate in (*gates, *shown):
        check_columns(gate, bound.columns)
        check_labelled(gate, bound.has_labels)
    exam = prepare_exam(split, before, output, [*gates, *shown])
    return Judging(exam, under_names_of(before, after), tuple(rules), tuple(shown), seed)


def _finding(subject: str, rule: Rule | None, gate: Gate, verdict: Verdict) -> Finding:
    metric = find_metric(gate.metric)
    scale: Scale = {"share": "relative", "change": "change", "level": "level"}[gate.scale]  # type: ignore[assignment]
    # The gates tell a share of the reference's value, a rule the change of it.
    shift = 1.0 if scale == "relative" else 0.0
    ends = [
        None if value is None else value - shift for value in (verdict.measured, verdict.low, verdict.high, verdict.threshold)
    ]
    status = _STATUS[verdict.status]
    if status == "undecided" and scale != "level" and _is_noise(gate, ends):
        status = "noise"
    return Finding(
        subject=subject,
        figure=gate.metric,
        slice=verdict.slice,
        rule=None if rule is None else str(rule),
        status=status,
        why="" if rule is None and verdict.measured is not None else verdict.why,
        unit="",
        scale=scale,
        how="samples",
        n=verdict.n,
        confidence=1 - verdict.alpha,
        base=verdict.reference,
        head=verdict.candidate,
        measured=ends[0],
        low=ends[1],
        high=ends[2],
        threshold=ends[3],
        n_needed=verdict.n_needed,
        is_share=metric is not None and metric.is_share,
        is_higher_better=gate.is_higher_better,
    )


def _is_noise(gate: Gate, ends: Sequence[float | None]) -> bool:
    """No change is shown, where some change is allowed."""
    measured, low, high, threshold = ends
    if measured is None or low is None or high is None or threshold is None:
        return False
    return low <= 0 <= high and (threshold <= 0 if gate.is_higher_better else threshold >= 0)
