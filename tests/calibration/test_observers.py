"""Observers, and the stored form of what they saw."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from edgewright.calibration.observers import TensorObserver
from edgewright.calibration.statistics import Statistics, TensorStatistics
from edgewright.core.errors import DataError, UsageError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

BATCHES = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 12), st.integers(1, 4), st.integers(1, 5)), elements=st.floats(-1e6, 1e6, width=32)
)


def observed(*batches: np.ndarray, channels: bool = False) -> TensorStatistics:
    observer = TensorObserver("t", bins=64, channels=channels)
    for batch in batches:
        observer.observe(batch)
    return observer.statistics()


@given(BATCHES, st.integers(0, 12))
@settings(max_examples=80, deadline=None)
def test_streaming_equals_one_shot(data: np.ndarray, cut: int) -> None:
    parts, whole = observed(data[:cut], data[cut:], channels=True), observed(data, channels=True)
    assert parts.histogram == whole.histogram
    assert (parts.count, parts.minimum, parts.maximum) == (whole.count, whole.minimum, whole.maximum)
    assert whole.minimum == data.min()
    scale = float(np.abs(data).mean(dtype=np.float64)) + 1e-30
    assert parts.mean == pytest.approx(whole.mean, abs=1e-12 * scale)
    assert whole.mean == pytest.approx(float(data.mean(dtype=np.float64)), abs=1e-12 * scale)
    expected = data.astype(np.float64).mean(axis=(0, 2))
    np.testing.assert_allclose(parts.channel_means, expected, atol=1e-11 * float(np.abs(data).max() + 1e-30))


def test_other_number_types_are_observed_as_float32() -> None:
    assert observed(np.arange(5, dtype=np.float16)).maximum == 4.0


def test_infinities_are_counted_apart() -> None:
    found = observed(np.array([[1.0, -np.inf, 3.0]], np.float32))
    assert (found.count, found.infinite, found.minimum, found.maximum, found.histogram.total) == (2, 1, 1.0, 3.0, 2)


def test_nan_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="'t' has 2 values that are NaN"):
        observed(np.array([1.0, np.nan, np.nan], np.float32))


def test_a_tensor_without_finite_values_is_refused() -> None:
    with pytest.raises(DataError, match="never had a finite value"):
        observed(np.array([np.inf], np.float32))
    with pytest.raises(DataError, match="never had a finite value"):
        observed(np.zeros((0, 3), np.float32))


def test_channels_must_stay_the_same() -> None:
    with pytest.raises(DataError, match="2 channels after 3"):
        observed(np.zeros((1, 3), np.float32), np.zeros((1, 2), np.float32), channels=True)


def statistics() -> Statistics:
    random = np.random.default_rng(3)
    found = {}
    for name, channels in (("ä/conv", True), ("b", False), ("c", True)):
        observer = TensorObserver(name, 128, channels)
        observer.observe(random.normal(size=(4, 3, 9)).astype(np.float32))
        found[name] = observer.statistics()
    return Statistics(found)


def test_statistics_round_trip_and_are_deterministic() -> None:
    data = statistics().to_bytes()
    again = Statistics.from_bytes(data)
    assert data == statistics().to_bytes() == again.to_bytes()
    assert list(again) == ["ä/conv", "b", "c"]
    assert again["b"].channel_means is None
    np.testing.assert_array_equal(again["c"].channel_means, statistics()["c"].channel_means)
    assert again["c"].histogram == statistics()["c"].histogram
    assert again.get("nothing") is None
    assert "b" in again
    assert Statistics.from_bytes(Statistics({}).to_bytes()).to_bytes() == Statistics({}).to_bytes()


def test_an_unknown_tensor_is_named() -> None:
    with pytest.raises(UsageError, match=r"unknown calibrated tensor 'conv'; did you mean 'ä/conv'"):
        statistics()["conv"]


def damaged(data: bytes) -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    lost, wrong = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(lost, "w") as archive:
        archive.writestr("names.npy", members["names.npy"])
    with zipfile.ZipFile(wrong, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content[:-8] + b"\1" * 8 if name == "counts.npy" else content)
    return [b"", b"nonsense", data[:-50], lost.getvalue(), wrong.getvalue()]


@pytest.mark.parametrize("index", range(5))
def test_damaged_statistics_are_refused(index: int) -> None:
    with pytest.raises(DataError, match="damaged"):
        Statistics.from_bytes(damaged(statistics().to_bytes())[index])


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("edgewright.core.counts", ["numpy", "onnx", "onnx_ir"]),
        ("edgewright.calibration.histogram", ["onnx", "onnx_ir", "onnxruntime"]),
        ("edgewright.calibration.ranges", ["onnx", "onnx_ir", "onnxruntime"]),
    ],
)
def test_a_device_loads_no_compiler_library(module: str, unwanted: list[str]) -> None:
    code = f"import sys, {module}; print([name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
