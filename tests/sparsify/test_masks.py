from __future__ import annotations

import numpy as np
from edgewright.core.compression import compressed_size
from edgewright.optimizer.sparsify.masks import layer_adaptive, masks_for
from hypothesis import given, settings
from hypothesis import strategies as st


@given(st.integers(0, 1000), st.floats(0.01, 0.99), st.sampled_from(["global", "uniform"]))
@settings(max_examples=40, deadline=None)
def test_exactly_the_share_goes_and_what_is_zero_goes_first(seed, amount, allocation):
    random = np.random.default_rng(seed)
    scores = {name: random.gamma(1, 1, (int(random.integers(2, 9)), int(random.integers(2, 30)))) for name in "abc"}
    dead = {name: random.random(array.shape) < amount / 2 for name, array in scores.items()}
    scores = {name: np.where(dead[name], 0.0, array) for name, array in scores.items()}
    masks = masks_for(scores, amount, allocation)
    sizes = [array.size for array in scores.values()]
    gone = [int((~masks[name]).sum()) for name in scores]
    assert sum(gone) == int(amount * sum(sizes)) if allocation == "global" else gone == [int(amount * size) for size in sizes]
    for name, array in scores.items():
        if masks[name].any() and (~masks[name]).any():
            assert array[~masks[name]].max() <= array[masks[name]].min()


def test_layer_adaptive_scores():
    np.testing.assert_allclose(layer_adaptive(np.array([1.0, 3.0, 2.0])), [1 / 6, 1.0, 2 / 5])


def test_global_does_not_empty_a_layer_of_small_weights():
    random = np.random.default_rng(0)
    scores = {"small": 1e-6 * random.gamma(1, 1, 1000), "large": random.gamma(1, 1, 1000)}
    masks = masks_for(scores, 0.5, "global")
    assert 0.4 < masks["small"].mean() < 0.6


def test_zeros_compress():
    weights = np.random.default_rng(0).normal(0, 1, 10_000).astype(np.float32)
    assert compressed_size(np.where(np.abs(weights) > 1.28, weights, 0).astype(np.float32).tobytes()) < 0.4 * compressed_size(
        weights.tobytes()
    )
