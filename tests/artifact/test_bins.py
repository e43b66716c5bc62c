"""The bins of an artifact: what of a data set and of a candidate's answers they count, and where their edges lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from edgewright.calibration.dataset import Split
from edgewright.calibration.opening import open_dataset
from edgewright.core.executor import TensorSpec
from edgewright.core.manifest import HistogramBins
from edgewright.fleet.protocol.window import MAX_TENSORS
from edgewright.optimizer.bins import answer_bins, input_bins, input_places, with_surplus

N = 400
DRAW = np.random.default_rng(3)


def of_inputs(**arrays: Any) -> list[HistogramBins]:
    data = open_dataset(arrays)
    return input_bins(Split("search", data, tuple(range(len(next(iter(arrays.values())))))))


def of_answers(y: Any, labels: Any = None) -> list[HistogramBins]:
    return answer_bins({"y": y}, (TensorSpec("y", "float32", (1, *y.shape[1:])),), labels, "y")


def counted(bins: list[HistogramBins]) -> list[str]:
    return [f"{item.kind} {item.statistic}" for item in bins]


def test_bins_are_of_all_channels_and_classes() -> None:
    """Channels that never share a value, last in the tensor: each must be counted as often as the others."""
    channels = np.array([0, 10, 20], np.float32) + np.random.default_rng(2).uniform(size=(200, 32, 32, 3)).astype(np.float32)
    classes = np.arange(1000, dtype=np.float32) + np.zeros((500, 1), np.float32)
    first = next(item for item in of_inputs(x=channels) if item.statistic == "values")
    second = next(item for item in of_answers(classes) if item.kind == "output")
    by_channel = [
        sum(count for low, count in zip(first.edges, first.counts[1:], strict=False) if int(low) // 10 == k) for k in range(3)
    ]
    assert sum(first.counts) <= 100_000
    assert all(abs(count / sum(first.counts) - 1 / 3) < 0.05 for count in by_channel), by_channel
    assert (second.edges[0], second.edges[-1]) == (0, 999)
    # Classes 0, 5, 10, ... alone would give edges that are all multiples of 5.
    assert any(edge % 5 for edge in second.edges)
    assert of_answers(classes) == of_answers(classes)
    assert of_inputs(x=channels) == of_inputs(x=channels)


def test_inputs_are_counted_by_feature_or_by_channel() -> None:
    table = of_inputs(x=DRAW.normal(size=(N, 3)).astype(np.float32))
    assert counted(table) == [f"input {name} {k}" for name in ("column", "missing") for k in range(3)]
    whole = of_inputs(x=DRAW.integers(0, 9, (N, 3)))
    assert counted(whole) == [f"input column {k}" for k in range(3)]
    image = of_inputs(x=DRAW.uniform(size=(N, 1, 8, 8)).astype(np.float32))
    assert counted(image) == ["input values", "input channel-mean 0", "input channel-std 0", "input missing"]
    sound = of_inputs(x=DRAW.normal(size=(N, 20, 40)).astype(np.float32))
    assert counted(sound) == ["input values", "input mean", "input std", "input missing"]
    wide = of_inputs(x=DRAW.normal(size=(N, 129)).astype(np.float32))
    assert counted(wide) == ["input values", "input missing"]


def test_few_values_have_a_bin_each_and_one_value_has_one_around_it() -> None:
    x = np.zeros((N, 3), np.float32)
    x[: N // 4, 0] = 1.0
    x[:, 1] = DRAW.choice([0.1, 5.0, 100.0], N, p=[0.5, 0.3, 0.2])
    x[:, 2] = -2.5
    yes, three, one = of_inputs(x=x)[:3]
    assert (yes.edges, yes.counts) == ((0.0, 0.5, 1.0), (0, 3 * N // 4, N // 4, 0))
    assert len(three.edges) == 4
    assert three.counts[1:-1] == tuple(int((x[:, 1] == np.float32(value)).sum()) for value in (0.1, 5.0, 100.0))
    assert one.edges[0] < -2.5 < one.edges[1]
    assert one.edges[1] - one.edges[0] < 1e-4
    assert one.counts == (0, N, 0)


def test_many_features_are_counted_within_what_a_window_has_room_for() -> None:
    inputs = {f"x{k}": DRAW.normal(size=(64, 100)).astype(np.float32) for k in range(4)}
    found = of_inputs(**inputs)
    assert {item.tensor for item in found} == set(inputs)
    assert counted([item for item in found if item.tensor == "x3"]) == ["input values", "input missing"]
    answers = {f"y{k}": DRAW.normal(size=(64, 32)).astype(np.float32) for k in range(9)}
    told = answer_bins(answers, [TensorSpec(name, "float32", (1, 32)) for name in answers], None, "y0")
    assert len(found) + len(told) <= MAX_TENSORS


def test_a_classifier_tells_how_often_it_was_right_at_each_confidence() -> None:
    scores = DRAW.normal(size=(N, 3)).astype(np.float32)
    labels = np.where(DRAW.uniform(size=N) < 0.7, scores.argmax(axis=1), DRAW.integers(0, 3, N))
    found = of_answers(scores, labels)
    kinds = ["output values", "confidence values", *(f"confidence class {k}" for k in range(3)), "prediction values"]
    assert counted(found) == kinds
    confidence, prediction = found[1], found[-1]
    right = int((scores.argmax(axis=1) == labels).sum())
    assert (sum(confidence.counts), sum(confidence.correct or ())) == (N, right)
    assert prediction.edges == (0.0, 1.0, 2.0, 3.0)
    assert prediction.counts[1:-1] == tuple(np.bincount(scores.argmax(axis=1), minlength=3))
    for k in range(3):
        of_class = scores.argmax(axis=1) == k
        assert sum(found[2 + k].counts) == of_class.sum()
        assert sum(found[2 + k].correct or ()) == (of_class & (labels == k)).sum()
    one_hot = of_answers(scores, np.eye(3)[labels])
    assert one_hot == found
    assert all(item.correct is None for item in of_answers(scores))


def test_a_class_that_was_never_answered_has_bins_all_the_same() -> None:
    scores = DRAW.normal(size=(N, 3)).astype(np.float32)
    scores[:, 2] = -9.0
    never = next(item for item in of_answers(scores) if item.statistic == "class 2")
    assert sum(never.counts) == 0
    assert len(never.edges) > 10


@pytest.mark.parametrize(
    ("shape", "labels", "expected"),
    [
        ((N, 5), DRAW.normal(size=(N, 5)), [f"output column {k}" for k in range(5)]),
        ((N, 1), DRAW.normal(size=(N, 1)), ["output values"]),
        ((N, 200), DRAW.normal(size=(N, 200)), ["output values"]),
        ((N, 4, 4), None, ["output values"]),
        ((N, 40), None, ["output values", "confidence values", "prediction values"]),
    ],
)
def test_other_answers_are_counted_by_column_or_together(shape: Any, labels: Any, expected: list[str]) -> None:
    assert counted(of_answers(DRAW.normal(size=shape).astype(np.float32), labels)) == expected


def test_more_classes_than_can_be_told_apart_have_confidence_alone() -> None:
    assert counted(of_answers(DRAW.normal(size=(64, 1025)).astype(np.float32))) == ["output values", "confidence values"]


def test_bins_say_where_confidence_promises_too_much() -> None:
    """Where the first feature is high the model is as sure as elsewhere and wrong; the second has nothing to do with it."""
    draw = np.random.default_rng(5)
    x = draw.normal(size=(2000, 2)).astype(np.float32)
    labels = draw.integers(0, 2, 2000)
    answered = np.where((x[:, 0] > 0.5) & (draw.random(2000) < 0.6), 1 - labels, labels)
    sure = draw.uniform(0.6, 1.0, 2000)
    scores = np.where(np.eye(2, dtype=bool)[answered], sure[:, None], 1 - sure[:, None]).astype(np.float32)
    split = Split("search", open_dataset({"x": x}), tuple(range(2000)))
    inputs, answers = input_bins(split), of_answers(scores, labels)
    places = input_places(split, inputs)
    found = with_surplus(inputs, places, answers, {"y": scores}, labels, "y")
    first, second = (item for item in found if item.statistic in ("column 0", "column 1") and item.kind == "input")
    assert first.surplus is not None
    assert second.surplus is not None
    high = [at for at, edge in enumerate(first.edges, 1) if edge > 0.6]
    assert sum(first.surplus[at] for at in high) < -100
    assert sum(first.surplus) == pytest.approx(0, abs=10)
    assert max(map(abs, second.surplus)) < 25
    assert [int(count) for count in np.bincount(places[0], minlength=len(first.counts))] == list(first.counts)
    assert next(item for item in found if item.kind == "prediction").surplus is not None
    assert all(item.surplus is None for item in found if item.kind == "confidence" or item.statistic.startswith("missing"))
    assert with_surplus(inputs, places, answers, {"y": scores}, None, "y") == [*inputs, *answers]
