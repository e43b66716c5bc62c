"""Maximum mean discrepancy: the definition, p-values that hold, drift that no mean shows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from edgewright.core.errors import DataError
from edgewright.stats.mmd import linear_mmd_test, median_distance, mmd_test


def test_the_estimate_is_the_definitions() -> None:
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(7, 3)), generator.normal(1, 1, size=(5, 3))

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-((a - b) ** 2).sum() / (2 * 1.5**2)))

    within = [np.mean([kernel(a, b) for a, b in itertools.permutations(part, 2)]) for part in (x, y)]
    across = np.mean([kernel(a, b) for a in x for b in y])
    found = mmd_test(x, y, seed=1, bandwidth=1.5, permutations=20)
    assert found.squared == pytest.approx(sum(within) - 2 * across)
    assert mmd_test(y, x, seed=1, bandwidth=1.5, permutations=20).squared == pytest.approx(found.squared)


@pytest.mark.parametrize(
    "test",
    [lambda x, y, seed: mmd_test(x, y, seed=seed, permutations=99).p, lambda x, y, seed: linear_mmd_test(x, y, seed=seed).p],
    ids=["exact", "linear"],
)
def test_false_alarms_are_as_many_as_the_level_says(test: object) -> None:
    generator = np.random.default_rng(2)
    p = [test(generator.normal(size=(60, 2)), generator.normal(size=(80, 2)), seed) for seed in range(300)]  # type: ignore[operator]
    assert np.mean(np.array(p) <= 0.1) <= 0.1 + 3 * np.sqrt(0.09 / 300)
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.1)


def test_a_change_of_correlation_alone_is_seen() -> None:
    generator = np.random.default_rng(3)
    x = generator.normal(size=(300, 2))
    y = generator.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 300)
    assert mmd_test(x, y, seed=1).p < 0.01
    many = generator.normal(size=(20_000, 2)), generator.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 20_000)
    assert linear_mmd_test(*many, seed=1).p < 0.01


def test_the_bandwidth_is_the_median_of_distances() -> None:
    assert median_distance([[0.0], [1.0], [3.0]], seed=1) == 2.0
    assert median_distance(np.ones((5, 2)), seed=1) == 1.0
    assert mmd_test(np.ones((5, 2)), np.ones((4, 2)), seed=1).p == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: mmd_test([[1.0]], [[1.0], [2.0]], seed=1),
        lambda: mmd_test([[1.0], [2.0]], [[1.0, 2.0], [2.0, 1.0]], seed=1),
        lambda: mmd_test([[1.0], [np.nan]], [[1.0], [2.0]], seed=1),
        lambda: linear_mmd_test([[1.0], [2.0], [3.0]], [[1.0], [2.0]], seed=1),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(wrong: object) -> None:
    with pytest.raises(DataError, match=r"\.$"):
        wrong()  # type: ignore[operator]
