"""Ranges against brute force on the data themselves."""

from __future__ import annotations

import numpy as np
import pytest
from edgewright.calibration.observers import TensorObserver
from edgewright.calibration.ranges import METHODS, range_of, weight_scales
from edgewright.calibration.statistics import TensorStatistics
from edgewright.core.errors import UsageError
from hypothesis import given, settings
from hypothesis import strategies as st

SHAPES = {
    "normal": lambda r: r.normal(size=4000),
    "laplace": lambda r: r.laplace(size=4000),
    "shifted": lambda r: r.normal(size=4000) * 0.3 + 5,
    "relu": lambda r: np.maximum(r.normal(size=4000), 0),
    "negative": lambda r: -np.abs(r.normal(size=4000)),
    "outlier": lambda r: np.append(r.normal(size=4000), 60.0),
    "heavy": lambda r: r.standard_t(3, size=4000),
}


def data_of(shape: str, seed: int = 0) -> np.ndarray:
    return SHAPES[shape](np.random.default_rng(seed)).astype(np.float32)


def seen(data: np.ndarray, bins: int = 2048) -> TensorStatistics:
    observer = TensorObserver("t", bins)
    observer.observe(data)
    return observer.statistics()


def squared_error(data: np.ndarray, low: float, high: float, levels: int = 256) -> float:
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (levels - 1)
    zero = np.rint(-low / scale)
    steps = np.clip(np.rint(data / scale) + zero, 0, levels - 1) - zero
    return float(((data - steps * scale) ** 2).mean())


def best_error(data: np.ndarray, levels: int) -> float:
    low, high = min(float(data.min()), 0.0), max(float(data.max()), 0.0)
    parts = np.linspace(0.02, 1, 50)
    lows, highs = (parts * low if low else [0.0]), (parts * high if high else [0.0])
    return min(squared_error(data, a, b, levels) for a in lows for b in highs)


@pytest.mark.parametrize("levels", [256, 128, 16])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_mse_is_as_good_as_brute_force(shape: str, levels: int) -> None:
    data = data_of(shape)
    low, high = range_of(seen(data), "mse", levels=levels)
    assert squared_error(data, low, high, levels) <= 1.03 * best_error(data, levels)


@pytest.mark.parametrize("shape", list(SHAPES))
def test_symmetric_mse_is_as_good_as_brute_force(shape: str) -> None:
    data = data_of(shape)

    def error(end: float) -> float:
        steps = np.clip(np.rint(data / (end / 127)), -127, 127)
        return float(((data - steps * (end / 127)) ** 2).mean())

    low, high = range_of(seen(data), "mse", symmetric=True)
    limit = float(np.abs(data).max())
    assert error(max(-low, high)) <= 1.02 * min(error(part * limit) for part in np.linspace(0.01, 1, 300))


@pytest.mark.parametrize("percentile", [99.999, 99.9, 99.0, 90.0, 100.0])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_percentile_is_within_a_bin_of_the_exact_one(shape: str, percentile: float) -> None:
    data = data_of(shape)
    statistics = seen(data)
    low, high = range_of(statistics, "percentile", percentile=percentile)
    tail = (100 - percentile) / 2
    exact_low, exact_high = (np.percentile(data, tail, method="lower"), np.percentile(data, 100 - tail, method="higher"))
    width = statistics.histogram.width
    below, above = (data < low - width).sum(), (data > high + width).sum()
    assert below <= data.size * tail / 100 + 1e-6
    assert above <= data.size * tail / 100 + 1e-6
    assert low <= np.percentile(data, tail, method="higher") + width
    assert high >= np.percentile(data, 100 - tail, method="lower") - width
    assert exact_low - width <= low
    assert high <= exact_high + width


def test_entropy_cuts_an_outlier_and_keeps_a_uniform() -> None:
    low, high = range_of(seen(data_of("outlier")), "entropy")
    assert high < 30
    assert low >= -5
    uniform = np.random.default_rng(0).uniform(0, 4, 100_000).astype(np.float32)
    assert range_of(seen(uniform), "entropy")[1] > 3.9


def test_entropy_of_one_sign() -> None:
    low, high = range_of(seen(data_of("negative")), "entropy")
    assert low < 0
    assert high == seen(data_of("negative")).maximum
    low, high = range_of(seen(data_of("shifted")), "entropy")
    assert low < high


@given(st.sampled_from(sorted(SHAPES)), st.integers(0, 50), st.sampled_from(METHODS), st.integers(16, 500))
@settings(max_examples=60, deadline=None)
def test_native_and_numpy_choose_the_same_range_within_the_extremes(shape: str, seed: int, method: str, bins: int) -> None:
    statistics = seen(data_of(shape, seed), bins)
    found = range_of(statistics, method)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEWRIGHT_PURE", "1")
        assert range_of(statistics, method) == found
    assert statistics.minimum <= found[0] < found[1] <= statistics.maximum


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 5.0, -1e-40, 3e38])
def test_a_constant_keeps_its_value(method: str, value: float) -> None:
    constant = float(np.float32(value))
    assert range_of(seen(np.full(7, value, np.float32)), method) == (constant, constant)


@pytest.mark.parametrize("method", METHODS)
def test_extreme_values_give_finite_ranges(method: str) -> None:
    for data in ([-3.4e38, 3.4e38, 1.0], [1e-45, 2e-45], [0.0, 1e-38], [1000.0, 1000.5]):
        low, high = range_of(seen(np.array(data, np.float32)), method)
        assert np.isfinite([low, high]).all()
        assert low <= high


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [
        ("percentil", {}, "did you mean 'percentile'"),
        ("percentile", {"percentile": 0.0}, "out of range"),
        ("percentile", {"percentile": float("nan")}, "out of range"),
        ("mse", {"levels": 2}, "at least four"),
    ],
)
def test_wrong_options_are_refused(method: str, options: dict[str, float], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        range_of(seen(data_of("normal")), method, **options)


def weight_error(row: np.ndarray, scale: float, largest: int) -> float:
    return float(((row - np.clip(np.rint(row / scale), -largest, largest) * scale) ** 2).sum())


@given(st.integers(0, 1000), st.sampled_from([0, 1, 3, None]), st.sampled_from([127, 63, 7]))
@settings(max_examples=40, deadline=None)
def test_weight_scales_against_brute_force(seed: int, axis: int | None, largest: int) -> None:
    weights = np.random.default_rng(seed).standard_t(4, size=(5, 3, 2, 4)).astype(np.float32)
    scales = weight_scales(weights, axis, largest=largest, steps=40)
    rows = weights.reshape(1, -1) if axis is None else np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)
    assert scales.dtype == np.float32
    assert scales.shape == (rows.shape[0],)
    for row, scale in zip(rows.astype(np.float64), scales, strict=True):
        limit = np.abs(row).max()
        best = min(weight_error(row, float(np.float32(limit * k / 40 / largest)), largest) for k in range(1, 41))
        assert weight_error(row, float(scale), largest) <= best * (1 + 1e-6)


def test_weight_scales_of_zeros_and_of_nothing() -> None:
    assert weight_scales(np.zeros((2, 3), np.float32), 0).tolist() == [1.0, 1.0]
    assert weight_scales(np.full((1, 2), 1e-44, np.float32), 0)[0] > 0


def test_weights_that_are_not_finite_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot be quantized"):
        weight_scales(np.array([[1.0, np.nan]], np.float32), 0)
