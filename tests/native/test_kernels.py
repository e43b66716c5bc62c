"""The native kernels and their numpy twins: equal on whatever comes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from edgewright.core.errors import UsageError
from edgewright.cpp_bindings import kernels
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

has_native = kernels._native_module is not None
needs_native = pytest.mark.skipif(not has_native, reason="the native module is not built")

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True)
TENSORS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=9), elements=FLOATS)


@contextmanager
def pure() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEWRIGHT_PURE", "1")
        assert kernels.implementation() == "numpy"
        yield


@contextmanager
def portable() -> Iterator[None]:
    before = kernels._native_module.avx2_enabled()
    kernels._native_module.allow_avx2(False)
    try:
        yield
    finally:
        kernels._native_module.allow_avx2(before)


def everywhere(call: Any) -> tuple[Any, Any, Any]:
    """Results of the native kernel, of its portable version, and of its twin."""
    native = call()
    with portable():
        plain = call()
    with pure():
        return native, plain, call()


def random_tensor(seed: int, shape: tuple[int, ...], special: bool) -> np.ndarray:
    random = np.random.default_rng(seed)
    data = (random.normal(size=shape) * 10.0 ** random.integers(-3, 4)).astype(np.float32)
    if special and data.size:
        places = random.integers(0, data.size, 7)
        data.flat[places] = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45]
    return data


def check_summary(data: np.ndarray, axis: int | None, threads: int = 1) -> None:
    native, plain, twin = everywhere(lambda: kernels.summarize(data, axis, threads))
    for name in ("minimum", "maximum", "nan", "infinite"):
        np.testing.assert_array_equal(getattr(native, name), getattr(twin, name))
        assert getattr(native, name).tobytes() == getattr(plain, name).tobytes()
    assert native.total.tobytes() == plain.total.tobytes()
    finite = np.where(np.isfinite(data), data, 0).astype(np.float64)
    axes = None if axis is None else tuple(i for i in range(data.ndim) if i != axis)
    scale = np.atleast_1d(np.abs(finite).sum(axis=axes))
    assert (np.abs(native.total - twin.total) <= 1e-12 * scale + 1e-300).all()


@needs_native
@given(TENSORS, st.data())
@settings(max_examples=150, deadline=None)
def test_summaries_equal(data: np.ndarray, choose: st.DataObject) -> None:
    check_summary(data, choose.draw(st.one_of(st.none(), st.integers(0, data.ndim - 1))))


@needs_native
@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((300_001,), None),
        ((3, 17, 40, 41), 1),
        ((2, 33, 9000), 1),
        ((40_000, 13), 1),
        ((7, 70_000), 0),
        ((0, 5), 1),
        ((5, 0), 0),
    ],
)
def test_summaries_equal_on_long_tensors(shape: tuple[int, ...], axis: int | None, special: bool) -> None:
    data = random_tensor(1, shape, special)
    for threads in (1, 3):
        check_summary(data, axis, threads)
    totals = [kernels.summarize(data, axis, threads).total.tobytes() for threads in (1, 2, 5)]
    assert len(set(totals)) == 1


@given(TENSORS)
@settings(max_examples=60, deadline=None)
def test_summary_against_its_definition(data: np.ndarray) -> None:
    summary = kernels.summarize(data)
    finite = data[np.isfinite(data)]
    assert summary.nan[0] == np.isnan(data).sum()
    assert summary.infinite[0] == np.isinf(data).sum()
    if finite.size:
        assert (summary.minimum[0], summary.maximum[0]) == (finite.min(), finite.max())
    else:
        assert (summary.minimum[0], summary.maximum[0]) == (np.inf, -np.inf)


@needs_native
@given(TENSORS, st.integers(-126, 126), st.integers(-(1 << 29), 1 << 29), st.integers(1, 300))
@settings(max_examples=200, deadline=None)
def test_grid_counts_equal(data: np.ndarray, exponent: int, first: int, bins: int) -> None:
    native, plain, twin = everywhere(lambda: kernels.count_on_grid(data, exponent, first, bins))
    np.testing.assert_array_equal(native, twin)
    np.testing.assert_array_equal(plain, twin)
    assert native.sum() == data.size


@needs_native
@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 4097, 500_003])
def test_grid_counts_equal_on_long_tensors(size: int, special: bool) -> None:
    data = random_tensor(size, (size,), special)
    for threads in (1, 4):
        for result in everywhere(lambda threads=threads: kernels.count_on_grid(data, -4, -1000, 2048, threads))[:2]:
            with pure():
                np.testing.assert_array_equal(result, kernels.count_on_grid(data, -4, -1000, 2048))


@given(hnp.arrays(np.float32, st.integers(1, 60), elements=FLOATS), st.integers(-30, 30))
@settings(max_examples=100, deadline=None)
def test_grid_counts_against_exact_arithmetic(data: np.ndarray, exponent: int) -> None:
    first, bins = -64, 128
    expected = [0] * (bins + 1)
    for value in data.tolist():
        place = math.floor(math.ldexp(value, -exponent)) - first if math.isfinite(value) else -1
        expected[place if 0 <= place < bins else bins] += 1
    assert kernels.count_on_grid(data, exponent, first, bins).tolist() == expected


@needs_native
@given(st.integers(0, 10_000), st.integers(0, 70), st.integers(1, 20))
@settings(max_examples=80, deadline=None)
def test_quantization_errors_equal(seed: int, size: int, candidates: int) -> None:
    random = np.random.default_rng(seed)
    values, weights = random.normal(size=size), random.integers(0, 100, size).astype(float)
    scales, low, high = (
        random.uniform(0.001, 0.1, candidates),
        -random.integers(0, 128, candidates),
        random.integers(1, 128, candidates),
    )
    native, plain, twin = everywhere(lambda: kernels.quantization_errors(values, weights, scales, low, high, threads=2))
    assert native.tobytes() == plain.tobytes()
    np.testing.assert_allclose(native, twin, rtol=1e-12, atol=1e-12 * float(weights.sum()))


@needs_native
@given(st.integers(0, 10_000), st.integers(0, 9), st.integers(0, 40))
@settings(max_examples=80, deadline=None)
def test_row_errors_equal(seed: int, rows: int, size: int) -> None:
    random = np.random.default_rng(seed)
    data = random.normal(size=(rows, size)).astype(np.float32)
    scales = random.uniform(0.001, 0.1, (rows, 6))
    native, plain, twin = everywhere(lambda: kernels.row_errors(data, scales, -127, 127, threads=3))
    assert native.tobytes() == plain.tobytes()
    np.testing.assert_allclose(native, twin, rtol=1e-12, atol=1e-12)


def test_errors_round_half_to_even() -> None:
    values = np.array([0.5, 1.5, 2.5, -0.5, -1.5])
    error = kernels.quantization_errors(values, np.ones(5), [1.0], [-127.0], [127.0])
    assert error.tolist() == [((values - np.array([0, 2, 2, 0, -2])) ** 2).sum()]


@needs_native
@given(hnp.arrays(np.float64, st.integers(0, 90), elements=st.integers(0, 50).map(float)), st.integers(1, 20))
@settings(max_examples=120, deadline=None)
def test_divergences_equal(counts: np.ndarray, levels: int) -> None:
    native, plain, twin = everywhere(lambda: kernels.divergences(counts, levels, threads=2))
    assert native.tobytes() == plain.tobytes()
    np.testing.assert_allclose(native, twin, rtol=1e-9, atol=1e-9)


def test_divergence_against_its_definition() -> None:
    counts, levels = np.array([4.0, 0, 2, 6, 0, 3]), 2
    found = kernels.divergences(counts, levels)
    reference = np.array([4.0, 0, 2, 6 + 3, 0]) / 15
    model = np.array([3.0, 0, 3, 6, 0]) / 12
    there = reference > 0
    expected = float(np.sum(reference[there] * np.log(reference[there] / model[there])))
    assert found[5] == pytest.approx(expected, rel=1e-12)
    assert np.isinf(found[:2]).all()
    assert np.isfinite(found[2:]).all()
    assert np.isinf(kernels.divergences([0.0, 0.0, 1.0], 1)[:3]).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: kernels.summarize(np.zeros(3)), "float32, not float64"),
        (lambda: kernels.summarize(np.zeros(3, np.float32), 1), "axis 1 does not exist"),
        (lambda: kernels.count_on_grid(np.zeros(3, np.float32), 200, 0, 4), "out of range"),
        (lambda: kernels.count_on_grid(np.zeros(3, np.float32), 0, 1 << 30, 4), "out of range"),
        (lambda: kernels.quantization_errors([1.0], [1.0], [0.0], [0.0], [1.0]), "positive and finite"),
        (lambda: kernels.quantization_errors([1.0], [1.0], [1.0], [1.0], [1.0]), "must hold zero"),
        (lambda: kernels.quantization_errors([1.0], [1.0, 2.0], [1.0], [0.0], [1.0]), "one length"),
        (lambda: kernels.row_errors(np.zeros((2, 3), np.float32), np.ones((3, 1)), -1, 1), "do not fit"),
        (lambda: kernels.divergences([1.0, -1.0], 1), "not negative"),
        (lambda: kernels.divergences([1.0], 0), "at least one"),
    ],
)
def test_wrong_arguments_are_refused(call: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        call()


@needs_native
def test_native_module_checks_sizes_itself() -> None:
    native = kernels._native_module
    with pytest.raises(ValueError, match="sizes do not agree"):
        native.divergences(np.zeros(4), 2, np.zeros(3), 1)


def test_environment_forces_numpy() -> None:
    with pure():
        assert kernels.implementation() == "numpy"
    if has_native:
        assert kernels.implementation() == "native"


@needs_native
def test_stub_is_what_the_module_says() -> None:
    pytest.importorskip("nanobind.stubgen")
    from pathlib import Path

    from nanobind.stubgen import StubGen

    stub = StubGen(kernels._native_module)
    stub.put(kernels._native_module)
    committed = Path(kernels.__file__).with_name("_native.pyi").read_text().partition("\n")[2]

    def words(text: str) -> str:
        return "".join(text.split()).replace("'", '"').replace(",)", ")").replace(",]", "]")

    assert words(stub.get()) == words(committed)
