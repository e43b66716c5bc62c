"""Every built-in metric against scikit-learn or scipy, also on weights (a resample is weights)."""

import numpy as np
import pytest
from edgewright.core.errors import GateError
from edgewright.optimizer.gates.decisions import (
    class_labels,
    cut_of,
    decision_statistic,
    is_in_top,
    predicted,
    scores_of,
)
from edgewright.optimizer.gates.scores import score_statistic
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn import metrics

SEEDS = st.integers(0, 10_000)


def resample(seed, n):
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(n, np.full(n, 1 / n)).astype(float)
    return rng, weights, np.repeat(np.arange(n), weights.astype(int))


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from(["f1", "precision", "recall"]), st.sampled_from(["macro", "weighted"]))
def test_decisions(seed, name, average):
    rng, weights, at = resample(seed, 120)
    label, named = rng.integers(0, 4, 120), rng.integers(0, 4, 120)
    ours = decision_statistic(name if average == "macro" else f"{name}-weighted", label, named, np.arange(4))(weights[None])[0]
    function = getattr(metrics, f"{name}_score")
    assert ours == pytest.approx(function(label[at], named[at], labels=np.unique(label[at]), average=average, zero_division=0))


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.booleans())
def test_binary_rankings(seed, has_ties):
    rng, weights, at = resample(seed, 100)
    label = rng.integers(0, 2, 100)
    scores = rng.normal(size=100) + label
    scores = np.round(scores, 1) if has_ties else scores
    for name, function in (("auc", metrics.roc_auc_score), ("ap", metrics.average_precision_score)):
        ours = score_statistic(name, scores[:, None], label, scores[:, None])(weights[None])[0]
        assert ours == pytest.approx(function(label[at], scores[at]))


def test_two_columns_rank_by_their_difference():
    rng = np.random.default_rng(0)
    label, logits = rng.integers(0, 2, 200), rng.normal(size=(200, 2))
    ones = np.ones((1, 200))
    assert score_statistic("auc", logits, label, logits)(ones)[0] == pytest.approx(
        metrics.roc_auc_score(label, logits[:, 1] - logits[:, 0])
    )


@pytest.mark.parametrize("as_logits", [False, True])
def test_one_against_the_rest(as_logits):
    rng = np.random.default_rng(1)
    label = rng.integers(0, 3, 300)
    logits = rng.normal(size=(300, 3)) + 1.5 * np.eye(3)[label]
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    outputs = logits if as_logits else chances
    ones = np.ones((1, 300))
    assert score_statistic("auc", outputs, label, outputs)(ones)[0] == pytest.approx(
        metrics.roc_auc_score(label, chances, multi_class="ovr")
    )
    assert score_statistic("ap", outputs, label, outputs)(ones)[0] == pytest.approx(
        metrics.average_precision_score(np.eye(3)[label], chances, average="macro")
    )


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.booleans())
def test_regression(seed, has_ties):
    rng, weights, at = resample(seed, 90)
    label = rng.normal(size=90)
    outputs = label + 0.5 * rng.normal(size=90)
    if has_ties:
        label, outputs = np.round(label, 1), np.round(outputs, 1)
    expected = {
        "mae": metrics.mean_absolute_error(label[at], outputs[at]),
        "rmse": metrics.root_mean_squared_error(label[at], outputs[at]),
        "r2": metrics.r2_score(label[at], outputs[at]),
        "spearman": spearmanr(label[at], outputs[at]).statistic,
    }
    for name, value in expected.items():
        assert score_statistic(name, outputs[:, None], label, outputs)(weights[None])[0] == pytest.approx(value)


def test_regression_of_several_columns():
    rng = np.random.default_rng(0)
    label = rng.normal(size=(50, 3))
    outputs = label + 0.3 * rng.normal(size=(50, 3))
    ones = np.ones((1, 50))
    assert score_statistic("r2", outputs, label, outputs)(ones)[0] == pytest.approx(metrics.r2_score(label, outputs))
    assert score_statistic("mae", outputs, label, outputs)(ones)[0] == pytest.approx(
        metrics.mean_absolute_error(label, outputs)
    )
    expected = np.mean([spearmanr(label[:, k], outputs[:, k]).statistic for k in range(3)])
    assert score_statistic("spearman", outputs, label, outputs)(ones)[0] == pytest.approx(expected)


def test_cosine():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(40, 2, 3))
    outputs = reference + 0.1 * rng.normal(size=(40, 2, 3))
    ones = np.ones((1, 40))
    expected = np.mean(
        [
            metrics.pairwise.cosine_similarity(a.reshape(1, -1), b.reshape(1, -1))
            for a, b in zip(outputs, reference, strict=True)
        ]
    )
    assert score_statistic("cosine", outputs, None, reference)(ones)[0] == pytest.approx(expected)
    zeros = np.zeros((40, 6))
    assert score_statistic("cosine", zeros, None, zeros)(ones)[0] == 1
    assert score_statistic("cosine", zeros, None, reference)(ones)[0] == 0


def test_cosine_of_single_numbers_is_not_always_one():
    reference = np.random.default_rng(0).uniform(0, 2, (100, 1))
    shuffled = reference[::-1]
    assert score_statistic("cosine", shuffled, None, reference)(np.ones((1, 100)))[0] < 0.97


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 4))
def test_top_k(seed, k):
    rng = np.random.default_rng(seed)
    scores, label = rng.normal(size=(60, 5)), rng.integers(0, 5, 60)
    assert is_in_top(scores, label, k).mean() == pytest.approx(
        metrics.top_k_accuracy_score(label, scores, k=k, labels=np.arange(5))
    )


def test_ties_never_help():
    label = np.arange(4)
    assert is_in_top(np.zeros((4, 4)), label, 2).tolist() == [True, True, False, False]
    assert (predicted(np.zeros((4, 4)), 0.0) == 0).all()
    with pytest.raises(GateError, match="always right"):
        is_in_top(np.zeros((4, 4)), label, 4)


def test_single_columns_are_cut_where_the_reference_says():
    chances, logits = np.array([[0.2], [0.7]]), np.array([[-0.2], [0.7]])
    assert cut_of(chances) == 0.5
    assert cut_of(logits) == 0.0
    assert predicted(chances, 0.5).tolist() == predicted(logits, 0.0).tolist() == [0, 1]


def test_labels_come_in_three_shapes():
    for labels in (np.array([0, 2]), np.array([[0.0], [2.0]]), np.array([[1, 0, 0], [0, 0, 1]])):
        assert class_labels(labels, 3).tolist() == [0, 2]
    assert scores_of(np.zeros((7, 1, 1, 3))).shape == (7, 3)


@pytest.mark.parametrize(
    ("labels", "part"),
    [
        (np.array(["cat", "dog"]), "not class numbers"),
        (np.array([0.5, 1.0]), "not whole"),
        (np.array([np.nan, 1.0]), "not whole"),
        (np.array([0, 3]), "label 3 is none"),
        (np.array([-1, 0]), "label -1 is none"),
        (np.array([[1, 1, 0], [0, 0, 1]]), "neither"),
        (np.array([[1, 0], [0, 1]]), "neither"),
    ],
)
def test_bad_labels_are_refused(labels, part):
    with pytest.raises(GateError, match=part):
        class_labels(labels, 3)
