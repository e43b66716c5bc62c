"""The histograms of an artifact as measures: each with the name that pages, alerts and policies call it by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...core.manifest import HistogramBins
from ...core.statistic import CHANNEL_MEAN, CHANNEL_STD, CLASS, MEAN, MISSING, STD, Statistic

MeasureKind = Literal["input", "output", "confidence", "prediction", "missing"]
_WORDS = {CHANNEL_MEAN: "mean of ", CHANNEL_STD: "deviation of ", MEAN: "mean of ", STD: "deviation of "}


@dataclass(frozen=True)
class Measure:
    """A histogram that is watched, by a `name` that no other of the artifact has.

    `index` is its place among a window's tensors; `edges`, `counts`, `correct` and `surplus` are the artifact's
    (HistogramBins). Of kind `missing`, what lies below the second edge are samples of which nothing is missing. `of_class` is
    the predicted class whose confidence is counted, None for all classes together.
    """

    index: int
    name: str
    kind: MeasureKind
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    correct: tuple[int, ...] | None = None
    of_class: int | None = None
    surplus: tuple[float, ...] | None = None


def measures(histograms: Sequence[HistogramBins]) -> tuple[Measure, ...]:
    """The measures of an artifact, in the order of its histograms.

    Names are "input x", "input x[3]" (a column), "mean of x[0]" and "deviation of x[0]" (a channel), "missing x" and
    "missing x[3]", "output y", "confidence", "confidence of class 3" and "prediction"; the last three end in "of y" or "in y"
    where several outputs have them.
    """
    several = {
        kind: len({item.tensor for item in histograms if item.kind == kind}) > 1 for kind in ("confidence", "prediction")
    }
    found: list[Measure] = []
    given: Counter[str] = Counter()
    for index, item in enumerate(histograms):
        statistic = Statistic.parse(item.statistic, item.kind)
        name = _name(item, statistic, several.get(item.kind, False))
        given[name] += 1
        name = name if given[name] == 1 else f"{name} ({given[name]})"
        kind: MeasureKind = "missing" if statistic.name == MISSING else item.kind
        of_class = statistic.place if statistic.name == CLASS else None
        found.append(Measure(index, name, kind, item.edges, item.counts, item.correct, of_class, item.surplus))
    return tuple(found)


def _name(item: HistogramBins, statistic: Statistic, is_one_of_several: bool) -> str:
    if statistic.name == CLASS:
        return f"confidence of class {statistic.place}" + (f" in {item.tensor}" if is_one_of_several else "")
    if item.kind in ("confidence", "prediction"):
        return item.kind + (f" of {item.tensor}" if is_one_of_several else "")
    place = "" if statistic.place is None else f"[{statistic.place}]"
    word = "missing " if statistic.name == MISSING else _WORDS.get(statistic.name, f"{item.kind} ")
    return f"{word}{item.tensor}{place}"
