"""Faults so rare that a sample of the data may hold none: whoever sees none must not conclude that there are none."""

import numpy as np
import pytest
from edgewright.optimizer.gates.judge import judge
from edgewright.optimizer.gates.needed import samples_for_gate
from edgewright.optimizer.gates.text import parse_gate
from edgewright.optimizer.gates.unseen import worst_decision, worst_score
from sklearn import metrics

REPLAYS = 40


def accepted(gate, simulate, n, replays=REPLAYS):
    """Share of replays that pass at the first look's level."""
    passed = 0
    for seed in range(replays):
        before, after, labels, columns = simulate(np.random.default_rng(seed), n)
        verdict = judge(parse_gate(gate), before, after, labels, columns, alpha=0.04, seed=seed, resamples=500)[0]
        passed += verdict.status == "passed"
    return passed / replays


def failing_groups(share, size):
    """Top-1 where a share of the groups is lost as a whole, and all others are right."""

    def simulate(generator, n):
        groups = np.arange(n) // size
        is_lost = (generator.random(n // size) < share)[groups]
        return np.eye(2)[np.zeros(n, dtype=int)], np.eye(2)[is_lost.astype(int)], np.zeros(n, dtype=int), {"who": groups}

    return simulate


def rare_errors(share, size):
    """Labels over [-5, 5], a reference off by 0.3, and a candidate that is the same but off by `size` on a few samples."""

    def simulate(generator, n):
        labels = generator.uniform(-5, 5, n)
        before = labels + 0.3 * generator.normal(size=n)
        after = before - np.sign(labels) * size * (generator.random(n) < share)
        return before[:, None], after[:, None], labels, {}

    return simulate


@pytest.mark.parametrize(("groups", "size"), [(40, 25), (100, 10), (300, 3)])
def test_groups_that_fail_as_a_whole(groups, size):
    assert accepted("top1 by who >= -1pt", failing_groups(0.01, size), groups * size) <= 0.06


def test_enough_good_groups_pass():
    assert accepted("top1 by who >= -1pt", failing_groups(0.0, 2), 1200, 3) == 1


@pytest.mark.parametrize(
    ("gate", "share", "n"),
    [
        ("mae <= +0.099", 0.01, 100),
        ("mae <= +0.05", 0.005, 300),
        ("rmse <= 0.5", 0.0016, 300),
        ("mae <= 0.3", 0.01, 150),
        ("r2 >= -0.05", 0.005, 200),
    ],
)
def test_rare_large_errors(gate, share, n):
    assert accepted(gate, rare_errors(share, 10), n) <= 0.06


@pytest.mark.parametrize("gate", ["rmse <= 102% of reference", "mae <= 102% of reference"])
def test_a_share_of_the_references_error_can_be_decided(gate):
    generator = np.random.default_rng(4)
    labels = generator.normal(size=1500)
    before = labels + 0.3 * generator.normal(size=1500)
    after = before + 0.01 * generator.normal(size=1500)
    (verdict,) = judge(parse_gate(gate), before[:, None], after[:, None], labels, alpha=0.04)
    assert verdict.status == "passed"
    # An error as large as the largest seen, on the share that could be unseen, still has to fit.
    (verdict,) = judge(parse_gate(gate), before[:300, None], after[:300, None], labels[:300], alpha=0.04)
    assert verdict.status == "undecided"
    assert 600 < verdict.n_needed < 3000


@pytest.mark.parametrize(("gate", "n"), [("mae <= +0.099", 1000), ("mae <= 105% of reference", 4000), ("rmse <= 0.5", 3000)])
def test_enough_good_samples_pass(gate, n):
    assert accepted(gate, rare_errors(0.0, 0), n, 3) == 1


def test_a_slice_is_told_the_range_of_all():
    labels = np.r_[np.zeros(500), np.linspace(-5, 5, 500)]
    outputs = (labels + np.where(np.arange(1000) % 2, 0.1, -0.1))[:, None]
    part = np.repeat(["narrow", "wide"], 500)
    verdicts = judge(parse_gate("mae[part] <= +0.02"), outputs, outputs, labels, {"part": part}, resamples=500)
    assert [verdict.status for verdict in verdicts] == ["undecided"] * 3
    assert verdicts[1].high > 10 * 2.7 / 503 - 0.01


def test_opposite_directions_are_not_alike():
    """Cosine falls by two where an answer is reversed, and by one where all answers are positive."""
    vectors = np.random.default_rng(0).normal(size=(400, 8))
    for outputs, status in ((vectors, "undecided"), (np.abs(vectors), "passed")):
        assert judge(parse_gate("cosine >= 0.99"), outputs, outputs, resamples=500)[0].status == status


@pytest.mark.parametrize(("name", "value"), [("auc", metrics.roc_auc_score), ("ap", metrics.average_precision_score)])
@pytest.mark.parametrize("wrong", ["positive", "negative"])
def test_rankings_never_fall_further_than_feared(name, value, wrong):
    """A perfect ranking of 10 % positives, of whose samples 1 % of all then rank at the wrong end."""
    labels = np.repeat([0, 1], [900, 100])
    scores = np.arange(1000.0)
    worst = worst_score(name, scores[:, None], scores[:, None], labels)(1.0, 0.01)
    scores[slice(990, 1000) if wrong == "positive" else slice(0, 10)] = -1 if wrong == "positive" else 2000
    assert worst <= value(labels, scores) < 1


def test_ranks_never_fall_further_than_feared():
    labels = np.arange(1000.0)
    worst = worst_score("spearman", labels[:, None], labels[:, None], labels)(1.0, 0.01)
    moved = labels.copy()
    moved[:5], moved[-5:] = 5000 + np.arange(5), -5000 + np.arange(5)
    fallen = 1 - 6 * np.sum((np.argsort(np.argsort(moved)) - labels) ** 2) / (1000 * (1000**2 - 1))
    assert worst <= fallen < 0.95


@pytest.mark.parametrize("name", ["recall", "precision", "f1"])
def test_the_rarest_class_bears_it_all(name):
    labels = np.repeat([0, 1, 2], [700, 250, 50])
    named = labels.copy()
    named[-10:] = 0
    function = getattr(metrics, f"{name}_score")
    for average, known in (("macro", name), ("weighted", f"{name}-weighted")):
        fallen = function(labels, named, average=average, zero_division=0)
        assert worst_decision(known, labels)(1.0, 0.01) <= fallen + 1e-9 < 1


def test_groups_are_needed_as_samples_are():
    alone, together = (samples_for_gate(parse_gate(f"top1{by} >= -1pt"), 0.001, per_group=25) for by in ("", " by who"))
    assert together > 25 * 500 > alone
