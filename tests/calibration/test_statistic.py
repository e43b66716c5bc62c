"""What is counted of a tensor, one number a sample, held against the plain way to reckon it."""

from __future__ import annotations

import numpy as np
import pytest
from edgewright.calibration.statistic import channel_axis
from edgewright.calibration.statistic import table as table_of
from edgewright.core.statistic import Statistic

DRAW = np.random.default_rng(0)


def table(array: np.ndarray, *texts: str) -> np.ndarray:
    return table_of(array, [Statistic.parse(text, "input") for text in texts])


def test_columns_are_the_tensors_own() -> None:
    x = DRAW.normal(size=(7, 5)).astype(np.float32)
    assert np.array_equal(table(x, "column 4", "column 0"), x[:, [4, 0]].astype(np.float64))


@pytest.mark.parametrize(
    ("shape", "axis"), [((9, 3, 8, 8), 1), ((9, 8, 8, 3), 3), ((9, 1, 28, 28), 1), ((9, 50, 16), 2), ((9, 2, 50), 1)]
)
def test_channels_lie_where_few_are(shape: tuple[int, ...], axis: int) -> None:
    assert channel_axis(shape) == axis
    x = DRAW.integers(0, 255, shape, np.uint8)
    sides = np.moveaxis(x, axis, 1).reshape(9, shape[axis], -1).astype(np.float64)
    places = range(shape[axis])
    means = table(x, *(f"channel-mean {place}" for place in places))
    deviations = table(x, *(f"channel-std {place}" for place in places))
    assert np.allclose(means, sides.mean(axis=2))
    assert np.allclose(deviations, sides.std(axis=2))
    whole = table(x, "mean", "std")
    assert np.allclose(whole, np.stack([x.reshape(9, -1).mean(axis=1), x.reshape(9, -1).std(axis=1)], axis=1))


def test_missing_is_the_share_that_is_not_finite() -> None:
    x = np.zeros((3, 4), np.float32)
    x[1, 2] = np.nan
    x[2, :2] = np.inf
    found = table(x, "missing", "missing 2", "column 2")
    assert found[:, 0].tolist() == [0.0, 0.25, 0.5]
    assert found[:, 1].tolist() == [0.0, 1.0, 0.0]
    assert np.isnan(found[1, 2])
    assert table(np.zeros((2, 3), np.int64), "missing")[:, 0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("shape", "text", "error"),
    [((3, 4), "column 4", IndexError), ((3, 4, 5), "column 0", ValueError), ((3, 4), "channel-mean 0", ValueError),
     ((3, 9, 9, 3), "channel-std 3", IndexError), ((3, 4), "missing 4", IndexError)],
)  # fmt: skip
def test_what_a_tensor_does_not_have_is_refused(shape: tuple[int, ...], text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        table(np.zeros(shape, np.float32), text)
