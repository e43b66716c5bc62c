"""Counts on grids of powers of two: exact, mergeable in any order, storable."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from edgewright.calibration.histogram import GrowingHistogram
from edgewright.core.counts import Counts
from edgewright.core.errors import DataError, UsageError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

VALUES = hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32, allow_nan=False, allow_infinity=False))
BINS = st.sampled_from([16, 17, 100, 2048])


def counted(bins: int, *pieces: np.ndarray) -> Counts:
    histogram = GrowingHistogram(bins)
    for piece in pieces:
        if piece.size:
            histogram.add(piece, float(piece.min()), float(piece.max()))
    return histogram.counts()


@given(VALUES, VALUES, VALUES, BINS)
@settings(max_examples=200, deadline=None)
def test_merge_is_exact_associative_and_commutative(a: np.ndarray, b: np.ndarray, c: np.ndarray, bins: int) -> None:
    one, two, three = (counted(bins, part) for part in (a, b, c))
    whole = counted(bins, np.concatenate([a, b, c]))
    assert one.merge(two).merge(three) == one.merge(two.merge(three)) == three.merge(two).merge(one) == whole
    assert whole.total == a.size + b.size + c.size


@given(VALUES, st.integers(0, 40), BINS)
@settings(max_examples=150, deadline=None)
def test_streaming_equals_one_shot(data: np.ndarray, cut: int, bins: int) -> None:
    assert counted(bins, data[:cut], data[cut:]) == counted(bins, data[cut:], data[:cut]) == counted(bins, data)


@given(VALUES.filter(lambda data: data.size > 0), BINS)
@settings(max_examples=100, deadline=None)
def test_every_value_lies_in_its_bin(data: np.ndarray, bins: int) -> None:
    counts = counted(bins, data)
    edges = np.array(counts.edges())
    assert len(counts.counts) <= bins
    assert edges[0] <= data.min()
    assert data.max() < edges[-1]
    expected = [int(((data >= low) & (data < high)).sum()) for low, high in itertools.pairwise(edges)]
    assert list(counts.counts) == expected


@given(VALUES, BINS)
@settings(max_examples=50, deadline=None)
def test_json_round_trips(data: np.ndarray, bins: int) -> None:
    counts = counted(bins, data)
    assert Counts.from_json(counts.to_json()) == counts


def test_a_constant_has_one_bin() -> None:
    counts = counted(2048, np.full(10, 5.0, np.float32))
    assert counts.counts == (10,)
    assert counts.edges()[0] == 5.0


def test_wide_data_use_at_least_half_of_the_bins() -> None:
    counts = counted(2048, np.linspace(-3, 9, 1000, dtype=np.float32))
    assert 1024 <= len(counts.counts) <= 2048


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"bins": 16, "exponent": 0, "first": 0},
        {"bins": 16, "exponent": 0, "first": 0, "counts": [1.5]},
        {"bins": 16, "exponent": 0, "first": 0, "counts": [True]},
        {"bins": 16, "exponent": 0, "first": 0, "counts": [1, -1, 1]},
        {"bins": 16, "exponent": 0, "first": 0, "counts": [0, 1]},
        {"bins": 16, "exponent": 0, "first": 0, "counts": [1] * 17},
        {"bins": 16, "exponent": 300, "first": 0, "counts": [1]},
        {"bins": 16, "exponent": 0, "first": 1 << 31, "counts": [1]},
        {"bins": 4, "exponent": 0, "first": 0, "counts": [1]},
    ],
)
def test_damaged_json_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(DataError):
        Counts.from_json(value)


def test_counts_of_other_sizes_do_not_merge() -> None:
    with pytest.raises(UsageError, match="16 and 17 bins"):
        Counts(16).merge(Counts(17))


def test_counts_cannot_be_refined() -> None:
    with pytest.raises(UsageError, match="count again"):
        Counts(16, 0, 0, (1,)).at(-1)


@pytest.mark.parametrize("bins", [0, 15, 1 << 17])
def test_a_histogram_of_too_few_or_many_bins_is_refused(bins: int) -> None:
    with pytest.raises(UsageError, match="not possible"):
        GrowingHistogram(bins)
