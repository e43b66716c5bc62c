"""Which metrics there are, and what each needs; how they are computed stands in `decisions` and `scores`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

# outcome: each sample is right or wrong. decision: a function of predicted classes. score: a function of the numbers.
Family = Literal["outcome", "decision", "score"]


@dataclass(frozen=True)
class Metric:
    """A metric by `name`; `is_share` says that it lives between 0 and 1, so that points and per cent make sense."""

    name: str
    family: Family
    is_higher_better: bool = True
    needs_labels: bool = True
    needs_reference: bool = False
    is_share: bool = True


_METRICS = {
    metric.name: metric
    for metric in (
        Metric("top1", "outcome"),
        Metric("agreement", "outcome", needs_labels=False, needs_reference=True),
        Metric("precision", "decision"),
        Metric("precision-weighted", "decision"),
        Metric("recall", "decision"),
        Metric("recall-weighted", "decision"),
        Metric("f1", "decision"),
        Metric("f1-weighted", "decision"),
        Metric("auc", "score"),
        Metric("ap", "score"),
        Metric("mae", "score", is_higher_better=False, is_share=False),
        Metric("rmse", "score", is_higher_better=False, is_share=False),
        Metric("r2", "score"),
        Metric("spearman", "score"),
        Metric("cosine", "score", needs_labels=False, needs_reference=True),
    )
}
_ALIASES = {
    "accuracy": "top1",
    "f1-macro": "f1",
    "precision-macro": "precision",
    "recall-macro": "recall",
    "average-precision": "ap",
}
_TOP = re.compile(r"top([1-9]\d{0,5})")


def find_metric(name: str) -> Metric | None:
    """The built-in metric of that name (an alias and any "topK" too), or None."""
    known = _METRICS.get(_ALIASES.get(name, name))
    if known is None and _TOP.fullmatch(name):
        return Metric(name, "outcome")
    return known


def top_k(metric: Metric) -> int:
    """K of a "topK" metric."""
    match = _TOP.fullmatch(metric.name)
    return int(match[1]) if match else 1


def known_metrics() -> tuple[str, ...]:
    """Names to offer; "top5" stands for every topK."""
    return (*_METRICS, *_ALIASES, "top5")


def compares_classes(name: str) -> bool:
    """Whether a metric compares predicted classes with labels: with one class only, a constant answer would pass it."""
    metric = find_metric(name)
    return metric is not None and metric.needs_labels and (metric.family != "score" or metric.name in {"auc", "ap"})


def is_user_metric(name: str) -> bool:
    """Whether the name is "file.py:function" or "module:function"."""
    return ":" in name
