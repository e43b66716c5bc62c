"""Scales, zero points and integers: bounds that hold for every tensor."""

from __future__ import annotations

import numpy as np
import pytest
from edgewright.optimizer.quantize.integers import affine, least_scale_for_bias, quantize_bias, quantize_weights
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

RANGE = st.floats(-1e4, 1e4, width=32)
WEIGHTS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=4, max_side=6), elements=st.floats(-4, 4, width=32))


@given(RANGE, RANGE, st.sampled_from(["int8", "uint8"]))
def test_zero_is_exact_and_the_range_is_covered(one: float, other: float, dtype: str) -> None:
    low, high = min(one, other), max(one, other)
    found = affine(low, high, dtype)  # type: ignore[arg-type]
    limits = np.iinfo(dtype)
    assert limits.min <= found.zero <= limits.max
    assert (found.quantize(np.zeros(1, np.float32)) == found.zero).all()
    ends = np.array([min(low, 0), max(high, 0)], np.float32)
    back = (found.quantize(ends).astype(np.float64) - found.zero) * found.scale
    assert np.abs(back - ends).max() <= found.scale * 1.01


@given(WEIGHTS, st.sampled_from(["max", "mse"]), st.booleans())
def test_weights_come_back_within_half_a_step_or_are_clipped(weights: np.ndarray, method: str, per_channel: bool) -> None:
    found = quantize_weights(weights, 0, "int8", method=method, per_channel=per_channel)  # type: ignore[arg-type]
    assert found.values.dtype == np.int8
    assert found.values.min(initial=0) >= -127
    back = found.dequantize()
    step = found.scales.reshape((-1,) + (1,) * (weights.ndim - 1))
    inside = np.abs(weights) <= 127 * step
    assert (np.abs(back - weights) <= 0.5001 * step + 1e-30)[inside].all()
    if method == "max":
        assert inside.all() or np.abs(back - weights).max() <= step.max()


@given(WEIGHTS)
def test_mse_is_never_worse_than_max(weights: np.ndarray) -> None:
    errors = [
        float(((quantize_weights(weights, 0, "int8", method=method).dequantize() - weights) ** 2).sum())
        for method in ("mse", "max")  # type: ignore[misc]
    ]
    assert errors[0] <= errors[1] * (1 + 1e-6) + 1e-12


@given(WEIGHTS)
def test_no_pair_of_products_can_saturate(weights: np.ndarray) -> None:
    found = quantize_weights(weights, 0, "int8", saturating_pairs=True)
    rows = found.values.reshape(len(found.values), -1).astype(np.int64)
    for sign in (1, -1):
        top = np.sort(np.maximum(sign * rows, 0), axis=1)[:, -2:].sum(axis=1)
        assert (255 * top <= 2**15 - 1).all()


def test_a_channel_that_cannot_saturate_loses_nothing() -> None:
    weights = np.array([[1.0, 0.002, -0.9, 0.003], [1.0, 0.9, 0.0, 0.0]], np.float32)
    free = quantize_weights(weights, 0, "int8", method="max")
    held = quantize_weights(weights, 0, "int8", method="max", saturating_pairs=True)
    assert held.scales[0] == pytest.approx(free.scales[0], rel=0.01)
    assert held.scales[1] > 1.8 * free.scales[1]


def test_unsigned_weights_stand_for_the_same_values() -> None:
    weights = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    signed, unsigned = (quantize_weights(weights, 0, dtype) for dtype in ("int8", "uint8"))  # type: ignore[arg-type]
    assert unsigned.zero == 128
    np.testing.assert_array_equal(signed.dequantize(), unsigned.dequantize())


def test_zero_channels_and_huge_biases_stay_representable() -> None:
    weights = np.zeros((2, 4), np.float32)
    bias = np.array([3e6, -5.0], np.float32)
    least = least_scale_for_bias(bias, 1e-6)
    found = quantize_weights(weights, 0, "int8", least_scale=least)
    integers, scales = quantize_bias(bias, 1e-6, found.scales)
    np.testing.assert_allclose(integers.astype(np.float64) * scales, bias, rtol=1e-3)
