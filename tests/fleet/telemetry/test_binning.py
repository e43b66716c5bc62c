"""A request's tensors in an artifact's bins: as a plain count gives them, and at compile time as on a device."""

from __future__ import annotations

import numpy as np
import pytest
from edgewright.calibration.confidence import Confidence
from edgewright.calibration.dataset import Split
from edgewright.calibration.opening import open_dataset
from edgewright.core.executor import TensorSpec
from edgewright.core.manifest import HistogramBins
from edgewright.fleet.telemetry.binning import Binning
from edgewright.optimizer.bins import answer_bins, input_bins
from hypothesis import given
from hypothesis import strategies as st

N = 300
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(N, 6)).astype(np.float32)
X[:, 1] = DRAW.integers(0, 2, N)  # yes or no
X[:, 2] = 7.0  # never varies
IMAGES = DRAW.uniform(size=(N, 8, 8, 3)).astype(np.float32)
SCORES = DRAW.normal(size=(N, 4)).astype(np.float32)
LABELS = DRAW.integers(0, 4, N)


def counted(histograms, inputs, outputs, known=None):
    binning = Binning(histograms, outputs if known is None else known)
    flat = binning.count(inputs, outputs)
    ends = np.cumsum(binning.sizes)
    return [tuple(map(int, part)) for part in np.split(flat, ends[:-1])]


def compiled(**inputs):
    data = open_dataset(inputs)
    return input_bins(Split("search", data, tuple(range(N))))


def test_what_a_device_counts_of_the_same_samples_is_what_the_artifact_says():
    answers = answer_bins({"y": SCORES}, (TensorSpec("y", "float32", (1, 4)),), LABELS, "y")
    histograms = [*compiled(x0=X, x1=IMAGES), *answers]
    # Of all pixels together a part is counted, here and there another one.
    histograms = [item for item in histograms if (item.tensor, item.statistic) != ("x1", "values")]
    assert {item.kind for item in histograms} == {"input", "output", "confidence", "prediction"}
    assert counted(histograms, {"x0": X, "x1": IMAGES}, {"y": SCORES}) == [item.counts for item in histograms]
    binning = Binning(histograms, {"y": SCORES})
    one_by_one = sum(binning.count({"x0": X[k : k + 1], "x1": IMAGES[k : k + 1]}, {"y": SCORES[k : k + 1]}) for k in range(N))
    assert one_by_one.tolist() == [count for item in histograms for count in item.counts]


EDGES = [(-1.0, 0.0, 0.5, 2.0), (0.0, 1.0), (-3.0, -2.0, 3.0)]
VALUES = st.one_of(st.sampled_from([-3.0, -1.0, 0.0, 0.5, 1.0, 2.0, np.nan, np.inf, -np.inf]), st.floats(-5, 5))


@given(st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=20))
def test_columns_are_counted_as_numpy_counts_them(rows):
    x = np.array(rows)
    histograms = [HistogramBins("x", "input", edges, (0,) * (len(edges) + 1), f"column {k}") for k, edges in enumerate(EDGES)]
    for k, (edges, counts) in enumerate(zip(EDGES, counted(histograms, {"x": x}, {}), strict=True)):
        finite = x[np.isfinite(x[:, k]), k]
        inside, _ = np.histogram(finite, edges)
        assert counts == ((finite < edges[0]).sum(), *inside, (finite > edges[-1]).sum())
    outputs = [HistogramBins("x", "output", item.edges, item.counts, item.statistic) for item in histograms]
    for k, (edges, counts) in enumerate(zip(EDGES, counted(outputs, {}, {"x": x}), strict=True)):
        inside, _ = np.histogram(x[~np.isnan(x[:, k]), k], edges)
        above = (x[:, k] > edges[-1]).sum() + np.isnan(x[:, k]).sum()
        assert counts == ((x[:, k] < edges[0]).sum(), *inside, above)


def test_what_is_missing_is_counted_as_missing_only():
    histograms = compiled(x=X)
    broken = X.copy()
    broken[:100, 3] = np.nan
    found = dict(zip(((item.statistic) for item in histograms), counted(histograms, {"x": broken}, {}), strict=True))
    whole = dict(zip(((item.statistic) for item in histograms), (item.counts for item in histograms), strict=True))
    assert found["missing 3"] == (0, 200, 100, 0)
    assert whole["missing 3"] == (0, 300, 0, 0)
    assert sum(found["column 3"]) == 200
    changed = {name for name in found if found[name] != whole[name]}
    assert changed == {"missing 3", "column 3"}


def test_of_an_answer_without_a_number_the_prediction_lies_above():
    histograms = answer_bins({"y": SCORES}, (TensorSpec("y", "float32", (1, 4)),), LABELS, "y")
    broken = SCORES.copy()
    broken[:30, 2] = np.nan
    found = counted(histograms, {}, {"y": broken}, {"y": SCORES})
    by_name = {f"{item.kind} {item.statistic}": counts for item, counts in zip(histograms, found, strict=True)}
    assert by_name["prediction values"][-1] == 30
    assert by_name["confidence values"][-1] == 30
    assert sum(sum(by_name[f"confidence class {k}"]) for k in range(4)) == N - 30


def test_many_samples_of_many_columns_are_counted_in_parts():
    x = DRAW.normal(size=(5000, 128)).astype(np.float32)
    histograms = [HistogramBins("x", "input", tuple(np.linspace(-3, 3, 33)), (0,) * 34, f"column {k}") for k in range(128)]
    found = counted(histograms, {"x": x}, {})
    assert {sum(counts) for counts in found} == {4096}  # samples of a request, at most
    expected, _ = np.histogram(x[:, 5], np.linspace(-3, 3, 33))
    assert abs(np.array(found[5][1:-1]) / 4096 - expected / 5000).max() < 0.02


@pytest.mark.parametrize("outputs", [{}, {"y": SCORES[:, 0]}, {"y": np.array([["a"]])}])
def test_tensors_of_another_model_are_refused(outputs):
    histograms = answer_bins({"y": SCORES}, (TensorSpec("y", "float32", (1, 4)),), LABELS, "y")
    with pytest.raises((KeyError, ValueError, IndexError, TypeError)):
        Binning(histograms, {"y": SCORES}).count({}, outputs)


def test_confidence_by_class_adds_up_to_all_of_it():
    histograms = answer_bins({"y": SCORES}, (TensorSpec("y", "float32", (1, 4)),), LABELS, "y")
    whole = next(item for item in histograms if item.kind == "confidence" and item.statistic == "values")
    classes = [item for item in histograms if item.statistic.startswith("class")]
    right = SCORES.argmax(axis=1) == LABELS
    assert sum(whole.counts) == sum(sum(item.counts) for item in classes) == N
    assert sum(whole.correct) == sum(sum(item.correct) for item in classes) == right.sum()
    confidence = Confidence(SCORES).of(SCORES)
    middle = whole.edges[10]
    assert sum(whole.correct[:11]) == (right & (confidence < middle)).sum()
