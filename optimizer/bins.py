"""The bins that a device counts in, with the counts of compile time: what drift is judged by, and accuracy without labels.

Bins lie at the quantiles of what the search split holds, or between its values where there are few of them. Inputs are the
data's; outputs, confidence and predictions are the shipped candidate's own answers, so that a device that answers as it did
drifts by nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calibration.confidence import Confidence
from ..calibration.dataset import Split
from ..calibration.statistic import Table, channel_axis, table
from ..core.executor import TensorSpec
from ..core.manifest import BinKind, HistogramBins
from ..core.statistic import CHANNEL_MEAN, CHANNEL_STD, CLASS, COLUMN, MEAN, MISSING, STD, VALUES, Statistic
from ..stats.label_free import unexplained
from .evaluate import Outputs
from .gates.defaults import default_gate

MOST_COLUMNS, MOST_CHANNELS, MOST_CLASSES, MOST_CLASSES_BINNED = 128, 16, 1024, 32
_BINS, _BINS_OF_CLASS = 32, 16
_MOST_VALUES = 100_000  # of one tensor that bins are made of
_MOST_SAMPLES = 20_000  # of a column or channel
_MOST_OF_INPUTS = 384  # histograms; a window has room for 512 in all
_MOST_OF_OUTPUTS = 128
_PRESENT = 1e-9  # a share of missing values below which nothing is missing
_SHARES = (0.0, _PRESENT, 0.01, 0.1, 0.5, 1.0)
_IS_MISSING = (0.0, 0.5, 1.0)

Floats = NDArray[np.float64]


def input_bins(split: Split) -> list[HistogramBins]:
    """Bins of the inputs by feature or channel, and of how much of them is missing, over the samples of `split`.

    Of large tensors they count a sample, drawn with a fixed seed. Where the inputs have more features than a window has room
    for, all of a tensor's values are counted in one.
    """
    draw = np.random.default_rng(0)
    specs = split.data.inputs
    found: list[HistogramBins] = []
    for place, spec in enumerate(specs):
        statistics = _statistics_of(spec)
        if len(found) + len(statistics) + 2 * (len(specs) - place - 1) > _MOST_OF_INPUTS:
            statistics = [Statistic(VALUES), *_missing(spec)]
        if len(found) + len(statistics) > _MOST_OF_INPUTS:
            break
        found += _of_input(split, spec, statistics, draw)
    return found


def answer_bins(outputs: Outputs, specs: Sequence[TensorSpec], labels: NDArray[Any] | None, judged: str) -> list[HistogramBins]:
    """Bins of what the shipped candidate answers, `outputs` [n, ...]: values, and of classifiers confidence and predictions.

    `labels` [n, ...] belong to the output that is `judged`; where they are classes, the bins of confidence say how many were
    right. An output [n, columns] that is no classifier's is counted by column.
    """
    draw = np.random.default_rng(0)
    found: list[HistogramBins] = []
    for spec in specs:
        values = outputs[spec.name]
        known = labels if spec.name == judged else None
        is_table = values.ndim == 2 and values.shape[1] > 1
        if is_table and _is_classifier(values, known):
            made = [*_pooled(spec.name, "output", values, draw), *_of_classes(spec.name, values, known)]
        elif is_table and values.shape[1] <= MOST_COLUMNS:
            statistics = [Statistic(COLUMN, place) for place in range(values.shape[1])]
            rows = values[_chosen(len(values), _MOST_SAMPLES, draw)]
            made = _of_table(spec.name, "output", table(rows, statistics), statistics)
        else:
            made = _pooled(spec.name, "output", values, draw)
        found += made if len(found) + len(made) <= _MOST_OF_OUTPUTS else made[:1]
    return found[:_MOST_OF_OUTPUTS]


def input_places(split: Split, bins: Sequence[HistogramBins]) -> dict[int, NDArray[np.int32]]:
    """In which bin each sample of `split` lies [n], for those of `input_bins` that count once a sample, by place there."""
    found: dict[int, list[NDArray[np.int32]]] = {}
    for batch in split.batches(64):
        for tensor in {item.tensor for item in bins}:
            mine = [
                (at, item, Statistic.parse(item.statistic, item.kind)) for at, item in enumerate(bins) if item.tensor == tensor
            ]
            mine = [(at, item, statistic) for at, item, statistic in mine if statistic.name not in (VALUES, MISSING)]
            if not mine:
                continue
            rows = table(batch.inputs[tensor], [statistic for _, _, statistic in mine])
            for (at, item, _), values in zip(mine, rows.T, strict=True):
                found.setdefault(at, []).append(_places(values, item.edges))
    return {at: np.concatenate(parts) for at, parts in found.items()}


def with_surplus(
    inputs: Sequence[HistogramBins],
    places: Mapping[int, NDArray[np.int32]],
    answers: Sequence[HistogramBins],
    outputs: Outputs,
    labels: NDArray[Any] | None,
    judged: str,
) -> list[HistogramBins]:
    """The bins of inputs and answers, with by how many more samples of each bin were right than their confidence promised.

    `places` are those of `input_places`; `outputs` and `labels` are of the same samples, and of the output that is `judged`.
    Without bins of confidence that say how many were right, all stays as it is.
    """
    whole = next((item for item in answers if item.correct is not None and item.statistic == VALUES), None)
    scores = outputs.get(judged)
    told = None if labels is None or scores is None else _class_numbers(labels, scores.shape[1])
    if whole is None or whole.tensor != judged or scores is None or told is None:
        return [*inputs, *answers]
    predicted, confidence = scores.argmax(axis=1), Confidence(scores).of(scores)
    more = unexplained(_places(confidence, whole.edges), predicted == told, len(whole.counts))
    found = [_surplus(item, places[at], more) if at in places else item for at, item in enumerate(inputs)]
    is_class = [item.kind == "prediction" and item.tensor == judged for item in answers]
    return found + [
        _surplus(item, _places(predicted.astype(np.float64), item.edges), more) if of_classes else item
        for item, of_classes in zip(answers, is_class, strict=True)
    ]


def _surplus(item: HistogramBins, place: NDArray[np.int32], more: Floats) -> HistogramBins:
    """With the surplus of samples in its bins; counts may be of a part of them, and so is then the surplus."""
    size = len(item.counts)
    seen = np.bincount(place, minlength=size)
    scale = np.asarray(item.counts) / np.maximum(seen, 1)
    return replace(item, surplus=tuple(np.round(np.bincount(place, more, size) * scale, 3).tolist()))


def _places(values: Floats, edges: Sequence[float]) -> NDArray[np.int32]:
    """In which of the bins values [n] are counted, as `_counts` counts; those that are not finite in the first."""
    at = np.asarray(edges)
    place = np.searchsorted(at, values, side="right") - (values == at[-1])
    return np.where(np.isfinite(values), place, 0).astype(np.int32)


def _statistics_of(spec: TensorSpec) -> list[Statistic]:
    """What is counted of an input; `missing` of floating-point ones only."""
    rank, missing = len(spec.shape), _missing(spec)
    width = spec.shape[-1] if rank else None
    if rank == 2 and width is not None and 1 < width <= MOST_COLUMNS:
        places = range(width)
        return [Statistic(COLUMN, place) for place in places] + [Statistic(MISSING, place) for place in places if missing]
    if rank in (3, 4) and all(size is not None for size in spec.shape[1:]):
        channels = spec.shape[channel_axis([0, *(size or 0 for size in spec.shape[1:])])] or 0
        if channels > MOST_CHANNELS:
            return [Statistic(VALUES), Statistic(MEAN), Statistic(STD), *missing]
        by_channel = [Statistic(name, place) for name in (CHANNEL_MEAN, CHANNEL_STD) for place in range(channels)]
        return [Statistic(VALUES), *by_channel, *missing]
    if rank in (3, 4):
        return [Statistic(VALUES), Statistic(MEAN), Statistic(STD), *missing]
    return [Statistic(VALUES), *missing]


def _missing(spec: TensorSpec) -> list[Statistic]:
    return [Statistic(MISSING)] if spec.dtype.startswith("float") else []


def _of_input(
    split: Split, spec: TensorSpec, statistics: Sequence[Statistic], draw: np.random.Generator
) -> Iterator[HistogramBins]:
    """All statistics of one input, in one run over the samples."""
    by_sample = [item for item in statistics if item.name != VALUES]
    counted = Table(by_sample)
    pooled, rows = [], []
    for batch in split.batches(64):
        array = batch.inputs[spec.name]
        if len(by_sample) < len(statistics):
            pooled.append(_thinned(array, len(split), draw))
        if by_sample:
            keep = max(1, _MOST_SAMPLES * len(array) // max(len(split), len(array), 1))
            rows.append(counted.of(array[_chosen(len(array), keep, draw)]))
    if pooled:
        yield from _histogram(spec.name, "input", np.concatenate(pooled))
    if rows:
        yield from _of_table(spec.name, "input", np.concatenate(rows), by_sample)


def _of_table(tensor: str, kind: BinKind, rows: Floats, statistics: Sequence[Statistic]) -> list[HistogramBins]:
    """A histogram for each column of `rows` [n, statistics]."""
    found: list[HistogramBins] = []
    for values, statistic in zip(rows.T, statistics, strict=True):
        if statistic.name == MISSING:
            edges: Sequence[float] = _SHARES if statistic.place is None else _IS_MISSING
            found.append(HistogramBins(tensor, kind, tuple(edges), _counts(values, edges), str(statistic)))
        else:
            found += _histogram(tensor, kind, values, str(statistic))
    return found


def _pooled(tensor: str, kind: BinKind, values: NDArray[Any], draw: np.random.Generator) -> list[HistogramBins]:
    return _histogram(tensor, kind, _thinned(values, len(values), draw))


def _of_classes(tensor: str, scores: NDArray[Any], labels: NDArray[Any] | None) -> list[HistogramBins]:
    """Confidence, over all and by the class that was predicted, and the predictions themselves."""
    classes = scores.shape[1]
    confidence, predicted = Confidence(scores).of(scores), scores.argmax(axis=1)
    told = None if labels is None else _class_numbers(labels, classes)
    right = None if told is None else predicted == told
    edges = _edges(confidence, _BINS)
    found = []
    if len(edges) > 1:
        found.append(_confidence(tensor, edges, confidence, right, VALUES))
        for number in range(classes if classes <= MOST_CLASSES_BINNED else 0):
            of_class = predicted == number
            own = _edges(confidence[of_class], _BINS_OF_CLASS)
            edges_of_class = own if len(own) > 1 else _edges(confidence, _BINS_OF_CLASS)
            of = None if right is None else right[of_class]
            found.append(_confidence(tensor, edges_of_class, confidence[of_class], of, str(Statistic(CLASS, number))))
    if classes <= MOST_CLASSES:
        whole = tuple(map(float, range(classes + 1)))
        found.append(HistogramBins(tensor, "prediction", whole, _counts(predicted.astype(np.float64), whole)))
    return found


def _confidence(
    tensor: str, edges: Sequence[float], confidence: Floats, right: NDArray[np.bool_] | None, statistic: str
) -> HistogramBins:
    correct = None if right is None else _counts(confidence[right], edges)
    return HistogramBins(tensor, "confidence", tuple(edges), _counts(confidence, edges), statistic, correct)


def _is_classifier(scores: NDArray[Any], labels: NDArray[Any] | None) -> bool:
    """By labels where there are any; without them by what the default gate takes the outputs for."""
    return default_gate(labels, scores).metric in ("top1", "agreement")


def _class_numbers(labels: NDArray[Any], classes: int) -> NDArray[np.int64] | None:
    """Labels as class numbers [n], or None where they are none."""
    flat = labels.reshape(len(labels), -1)
    if flat.shape[1] == classes > 1:
        flat = flat.argmax(axis=1)[:, None]
    if flat.shape[1] != 1 or flat.dtype.kind not in "biuf" or (flat != np.round(flat)).any():
        return None
    return flat[:, 0].astype(np.int64)


def _chosen(size: int, keep: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """At most `keep` of `size` places, in their order."""
    return np.arange(size) if size <= keep else np.sort(draw.choice(size, keep, replace=False, shuffle=False))


def _thinned(array: NDArray[Any], samples: int, draw: np.random.Generator) -> Floats:
    """Values of a batch drawn at random, so that all batches together stay within the limit.

    Evenly spaced ones would all be of one channel or class where the spacing is a multiple of the last axis.
    """
    flat = array.reshape(-1)
    keep = max(1, _MOST_VALUES * len(array) // max(samples, len(array), 1))
    if flat.size > keep:
        flat = flat[draw.choice(flat.size, keep, replace=False, shuffle=False)]
    return np.asarray(flat, np.float64)


def _histogram(tensor: str, kind: BinKind, values: NDArray[Any], statistic: str = VALUES) -> list[HistogramBins]:
    """Bins of what is finite in `values`; none where nothing is."""
    edges = _edges(values, _BINS)
    return [HistogramBins(tensor, kind, edges, _counts(values, edges), statistic)] if len(edges) > 1 else []


def _edges(values: NDArray[Any], bins: int) -> tuple[float, ...]:
    """At the quantiles; between the values where they are few, so that each has a bin of its own; around a single one."""
    finite = values[np.isfinite(values)].astype(np.float64)
    distinct = np.unique(finite)
    if len(distinct) == 0:
        return ()
    if len(distinct) == 1:
        near = max(abs(float(distinct[0])) * 1e-6, 1e-9)
        return (float(distinct[0]) - near, float(distinct[0]) + near)
    if len(distinct) <= bins:
        between = [low + (high - low) / 2 for low, high in itertools.pairwise(distinct.tolist())]
        edges = np.unique([distinct[0], *between, distinct[-1]])
    else:
        edges = np.unique(np.quantile(finite, np.linspace(0, 1, bins + 1)))
    return tuple(edges.tolist())


def _counts(values: NDArray[Any], edges: Sequence[float]) -> tuple[int, ...]:
    """What of the finite values lies below the edges, in each bin, and above."""
    finite = values[np.isfinite(values)]
    inside, _ = np.histogram(finite, np.asarray(edges))
    return int((finite < edges[0]).sum()), *map(int, inside), int((finite > edges[-1]).sum())
