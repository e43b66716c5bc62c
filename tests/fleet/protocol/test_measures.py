"""Measures: each histogram of an artifact has a name of its own, which says what it counts."""

from __future__ import annotations

from typing import Any

from edgewright.core.manifest import HistogramBins
from edgewright.fleet.protocol.measures import measures


def bins(tensor: str, kind: Any, statistic: str = "values", correct: Any = None) -> HistogramBins:
    return HistogramBins(tensor, kind, (0.0, 0.5, 1.0), (0, 3, 4, 0), statistic, correct)


def test_names_say_what_is_counted() -> None:
    found = measures(
        [
            bins("x", "input"), bins("x", "input", "column 3"), bins("x", "input", "missing 3"), bins("x", "input", "missing"),
            bins("image", "input", "channel-mean 2"), bins("image", "input", "channel-std 2"), bins("sound", "input", "mean"),
            bins("sound", "input", "std"), bins("y", "output"), bins("y", "confidence", correct=(0, 1, 4, 0)),
            bins("y", "confidence", "class 3", (0, 3, 3, 0)), bins("y", "prediction"),
        ]
    )  # fmt: skip
    assert [item.name for item in found] == [
        "input x", "input x[3]", "missing x[3]", "missing x", "mean of image[2]", "deviation of image[2]", "mean of sound",
        "deviation of sound", "output y", "confidence", "confidence of class 3", "prediction",
    ]  # fmt: skip
    kinds = ["input"] * 2 + ["missing"] * 2 + ["input"] * 4 + ["output", "confidence", "confidence", "prediction"]
    assert [item.kind for item in found] == kinds
    assert [item.index for item in found] == list(range(12))
    assert [item.of_class for item in found] == [None] * 10 + [3, None]
    assert found[10].correct == (0, 3, 3, 0)


def test_of_several_classifiers_each_is_named() -> None:
    found = measures([bins(name, kind) for name in "ab" for kind in ("confidence", "prediction")])
    assert [item.name for item in found] == ["confidence of a", "prediction of a", "confidence of b", "prediction of b"]
    assert [item.name for item in measures([bins("a", "confidence", "class 1"), bins("b", "confidence", "class 1")])] == [
        "confidence of class 1 in a",
        "confidence of class 1 in b",
    ]


def test_no_two_measures_have_one_name() -> None:
    assert [item.name for item in measures([bins("x[3]", "input"), bins("x", "input", "column 3")])] == [
        "input x[3]",
        "input x[3] (2)",
    ]
