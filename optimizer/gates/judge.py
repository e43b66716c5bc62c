"""Judging a candidate: paired non-inferiority with a confidence level, on the whole and on every slice. It fails closed.

Passed: the one-sided 1-alpha bound lies inside the margin. Failed: the opposite bound lies outside, or the candidate answers
with what is not a number or not of the reference's shape. Everything else is undecided, which is not passed, and says why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...core.errors import GateError
from ...stats.bootstrap import RESAMPLES, Statistic, indexed_statistic
from .compare import LEAST_SAMPLES, Figures, Look, compare_decisions, compare_outcomes, compare_statistics
from .decisions import Array, Ints, Unjudgeable, class_count, class_labels, cut_of, is_in_top, predicted, scores_of
from .needed import samples_to_decide
from .registry import Metric, find_metric, top_k
from .scores import score_statistic
from .text import Gate, check_columns, check_labelled
from .unseen import worst_of_costs, worst_score
from .user import Taken, UserFunction, evaluate, load_user_metric
from .verdict import MeasuredOn, Status, Verdict

# (indices of the part, its groups or None) -> figures
_Compare = Callable[[Ints, "Ints | None"], Figures]


class _CandidateFault(GateError):
    """The candidate itself answers wrongly: more samples would not help."""


@dataclass(frozen=True)
class _Evidence:
    """Everything that a comparison may look at."""

    reference: Array
    candidate: Array
    labels: Array | None
    columns: Mapping[str, Array]
    inputs: Mapping[str, Array]


def judge(
    gate: Gate,
    reference: Array,
    candidate: Array,
    labels: Array | None = None,
    columns: Mapping[str, Array] | None = None,
    *,
    inputs: Mapping[str, Array] | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    measured_on: MeasuredOn | None = None,
    slice_values: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
) -> list[Verdict]:
    """Verdicts of `gate`, first on the whole, then on each value of its slice column in order.

    `reference` and `candidate` are outputs [n, ...] on the same samples in the same order, `labels` [n, ...], `columns` [n] and
    `inputs` [n, ...] by name; `alpha` is what this look may spend. `slice_values` are values that must be there: one without
    samples is undecided. Raises GateError for a request that no candidate could fulfil: a column or labels that the data lack,
    or reference, labels, columns and inputs of different lengths.
    """
    evidence = _Evidence(np.asarray(reference), np.asarray(candidate), _array(labels), _arrays(columns), _arrays(inputs))
    _check_request(gate, evidence, alpha)
    n = len(evidence.reference)
    compare = (
        _comparison(gate, evidence, Look(alpha, seed, resamples)) if n else _refusing(Unjudgeable("there are no samples."))
    )
    blank = Verdict(
        str(gate), gate.metric, None, "undecided", "", alpha, 0, threshold=None if gate.kind == "report" else gate.threshold,
        margin=gate.margin, measured_on=measured_on,
    )  # fmt: skip
    verdicts = [_judge_part(gate, evidence, compare, np.arange(n), blank)]
    if gate.slice is not None:
        values = np.array([str(value) for value in evidence.columns[gate.slice].tolist()], dtype=object)
        for value in sorted({*values.tolist(), *(slice_values or ())}):
            part = replace(blank, slice=f"{gate.slice}={value}")
            verdicts.append(_judge_part(gate, evidence, compare, np.flatnonzero(values == value), part))
    return verdicts


def _judge_part(gate: Gate, evidence: _Evidence, compare: _Compare, indices: Ints, blank: Verdict) -> Verdict:
    blank = replace(blank, n=len(indices))
    silent: Status = "reported" if gate.kind == "report" else "undecided"
    if len(indices) < LEAST_SAMPLES:
        return replace(blank, status=silent, why=f"{len(indices)} samples decide nothing; give more data.")
    try:
        figures = compare(indices, _groups(gate, evidence, indices))
    except _CandidateFault as error:
        return replace(blank, status="reported" if gate.kind == "report" else "failed", why=str(error))
    except Unjudgeable as error:
        return replace(blank, status=silent, why=f"{gate.metric} cannot be judged: {error}")
    return _decide(gate, figures, blank)


def _decide(gate: Gate, figures: Figures, blank: Verdict) -> Verdict:
    bound, opposite = (figures.low, figures.high) if gate.is_higher_better else (figures.high, figures.low)
    verdict = replace(
        blank,
        measured=figures.measured,
        reference=figures.reference,
        candidate=figures.candidate,
        low=_finite(figures.low),
        high=_finite(figures.high),
        bound=None if gate.kind == "report" else _finite(bound),
        psi=figures.psi,
        negative_flips=figures.negative_flips,
    )
    if gate.kind == "report":
        return replace(verdict, status="reported", why="shown, not judged.")
    sign = 1 if gate.is_higher_better else -1
    level = f"{100 * (1 - blank.alpha):.4g} %"
    if sign * (bound - gate.threshold) > 0:
        return replace(
            verdict, status="passed", why=f"the {level} bound {_said(gate, bound)} lies inside {_said(gate, gate.threshold)}."
        )
    if sign * (opposite - gate.threshold) < 0:
        why = f"even the opposite {level} bound {_said(gate, opposite)} lies outside {_said(gate, gate.threshold)}."
        return replace(verdict, status="failed", why=why)
    needed = samples_to_decide(gate, figures, blank.n, blank.alpha)
    if sign * (figures.measured - gate.threshold) <= 0:
        hint = "as measured the candidate is outside already, so choose a better one"
    else:
        hint = "give more data" if needed is None else f"about {needed} samples would decide"
    why = f"the {level} bound {_said(gate, bound)} lies outside {_said(gate, gate.threshold)} on {blank.n} samples; {hint}."
    return replace(verdict, status="undecided", n_needed=needed, why=why)


def _comparison(gate: Gate, evidence: _Evidence, look: Look) -> _Compare:
    """How this metric is compared on a part. What goes wrong for all parts is kept, and raised by each."""
    metric = find_metric(gate.metric)
    if metric is None:
        return _user_comparison(gate, load_user_metric(gate.metric), evidence, look)
    try:
        _check_outputs(evidence)
        return (
            _score_comparison(gate, metric, evidence, look)
            if metric.family == "score"
            else _class_comparison(gate, metric, evidence, look)
        )
    except (_CandidateFault, Unjudgeable) as fault:
        return _refusing(fault)


def _class_comparison(gate: Gate, metric: Metric, evidence: _Evidence, look: Look) -> _Compare:
    before, after = scores_of(evidence.reference), scores_of(evidence.candidate)
    cut = cut_of(before)
    if metric.name == "agreement":
        agrees = predicted(before, cut) == predicted(after, cut)
        always = np.ones(len(agrees), dtype=bool)

        def agreement(at: Ints, groups: Ints | None) -> Figures:
            return replace(compare_outcomes(gate, always[at], agrees[at], groups, look), reference=None, negative_flips=None)

        return agreement
    truth = class_labels(_needed(evidence.labels), class_count(before))
    if metric.family == "decision":
        classes = predicted(before, cut), predicted(after, cut)
        return lambda at, groups: compare_decisions(gate, metric.name, truth[at], classes[0][at], classes[1][at], groups, look)
    k = top_k(metric)
    if k == 1:
        right = predicted(before, cut) == truth, predicted(after, cut) == truth
    else:
        right = is_in_top(before, truth, k), is_in_top(after, truth, k)
    return lambda at, groups: compare_outcomes(gate, right[0][at], right[1][at], groups, look)


def _score_comparison(gate: Gate, metric: Metric, evidence: _Evidence, look: Look) -> _Compare:
    def score(at: Ints, groups: Ints | None) -> Figures:
        labels, reference = None if evidence.labels is None else evidence.labels[at], evidence.reference[at]
        after = score_statistic(metric.name, evidence.candidate[at], labels, reference)
        before = after if metric.needs_reference else score_statistic(metric.name, reference, labels, reference)
        # A slice is told the range of all samples, the classes that it holds itself.
        seen = slice(None) if metric.name in {"mae", "rmse"} else at
        worst = worst_score(
            metric.name,
            evidence.candidate[seen],
            evidence.reference[seen],
            None if evidence.labels is None else evidence.labels[seen],
            # In units of the reference's error the labels' range is out of all proportion: nothing could ever be decided.
            as_seen=gate.kind == "share",
        )
        figures = compare_statistics(gate, before, after, np.ones(len(at)), groups, look, worst)
        return replace(figures, reference=None) if metric.needs_reference else figures

    return score


def _user_comparison(gate: Gate, function: UserFunction, evidence: _Evidence, look: Look) -> _Compare:
    def user(at: Ints, groups: Ints | None) -> Figures:
        _check_finite(evidence)

        def value(outputs: Array, indices: Ints) -> float:
            labels = None if evidence.labels is None else evidence.labels[indices]
            columns, inputs = Taken(evidence.columns, indices), Taken(evidence.inputs, indices)
            return evaluate(function, outputs[indices], labels, inputs, columns)

        def statistic(outputs: Array) -> Statistic:
            def one(rows: Ints) -> float:
                try:
                    return value(outputs, at[rows])
                except Unjudgeable:
                    return math.nan

            return indexed_statistic(one, len(at))

        reference, _ = value(evidence.reference, at), value(evidence.candidate, at)
        worst = worst_of_costs(max(1.0, abs(reference)), gate.is_higher_better)
        return compare_statistics(
            gate, statistic(evidence.reference), statistic(evidence.candidate), np.ones(len(at)), groups, look, worst
        )

    return user


def _refusing(fault: GateError) -> _Compare:
    def refuse(at: Ints, groups: Ints | None) -> Figures:
        raise fault

    return refuse


def _check_request(gate: Gate, evidence: _Evidence, alpha: float) -> None:
    check_columns(gate, evidence.columns)
    if not 0 < alpha < 0.5:
        raise GateError(f"an error level of {alpha} is not between 0 and 0.5; give for example 0.05.")
    check_labelled(gate, evidence.labels is not None)
    if evidence.reference.ndim == 0:
        raise GateError("the reference's output is a single number; give outputs [samples, ...].")
    n = len(evidence.reference)
    parts = [("the labels", evidence.labels)] if evidence.labels is not None else []
    parts += [(f"the column {name!r}", column) for name, column in evidence.columns.items()]
    parts += [(f"the input {name!r}", array) for name, array in evidence.inputs.items()]
    for what, array in parts:
        if array is None or array.ndim == 0 or len(array) != n:
            size = 1 if array is None or array.ndim == 0 else len(array)
            raise GateError(f"{what} has {size} entries and the reference's output {n}; give one for each sample.")


def _check_outputs(evidence: _Evidence) -> None:
    if evidence.candidate.shape != evidence.reference.shape:
        shapes = f"{list(evidence.candidate.shape)}, the reference's {list(evidence.reference.shape)}"
        raise _CandidateFault(f"the candidate's output has shape {shapes}; they cannot be compared.")
    _check_finite(evidence)


def _check_finite(evidence: _Evidence) -> None:
    if evidence.reference.dtype.kind not in "biuf":
        raise Unjudgeable(f"the reference's output has type {evidence.reference.dtype}, which is not a number.")
    if evidence.candidate.dtype.kind not in "biuf":
        raise _CandidateFault(f"the candidate's output has type {evidence.candidate.dtype}, which is not a number.")
    if not np.isfinite(evidence.reference).all():
        raise Unjudgeable("the reference's output holds NaN or infinity, so nothing can be compared with it.")
    if evidence.candidate.ndim == 0 or len(evidence.candidate) != len(evidence.reference):
        raise _CandidateFault(
            "the candidate's output has another number of samples than the reference's; run it on all of them."
        )
    broken = int((~np.isfinite(evidence.candidate.reshape(len(evidence.candidate), -1)).all(axis=1)).sum())
    if broken:
        raise _CandidateFault(f"the candidate's output holds NaN or infinity on {broken} of {len(evidence.candidate)} samples.")


def _groups(gate: Gate, evidence: _Evidence, indices: Ints) -> Ints | None:
    if gate.group is None:
        return None
    values = [str(value) for value in evidence.columns[gate.group][indices].tolist()]
    return np.unique(values, return_inverse=True)[1].astype(np.intp)


def _said(gate: Gate, value: float) -> str:
    """A number as the gate's text would write it."""
    text = f"{100 * value if gate.unit else value:{'+' if gate.kind == 'change' else ''}.4g}"
    return text + gate.unit


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _needed(labels: Array | None) -> Array:
    if labels is None:
        raise Unjudgeable("the data have no labels.")
    return labels


def _array(values: Array | None) -> Array | None:
    return None if values is None else np.asarray(values)


def _arrays(values: Mapping[str, Array] | None) -> dict[str, Array]:
    return {name: np.asarray(array) for name, array in (values or {}).items()}
