"""What a retraining learns from and is judged by, apart from any model."""

from __future__ import annotations

import numpy as np
from edgewright.optimizer.retrain.material import Amounts, divide
from edgewright.optimizer.retrain.samples import Samples, nothing_like
from world import samples


def made(count, seed):
    return Samples({"x": samples(count, seed)[0]}, samples(count, seed)[1])


def repeated(given, at, count):
    """The samples, and one of them `count` times more."""
    order = np.concatenate([np.arange(len(given)), np.full(count, at)])
    return given.take(order)


def test_a_sample_that_comes_again_counts_once(tmp_path):
    old, new, earlier = made(200, 1), made(40, 2), made(30, 3)
    told = []
    for name, more in (("once", 0), ("often", 300)):
        (tmp_path / name).mkdir()
        given = repeated(new, 39, more), repeated(earlier, 0, more)
        random = np.arange(len(given[0])) % 2 == 0
        told.append(divide(tmp_path / name, old, None, given[0], random, given[1], Amounts()))
    assert told[0]["digests"] == told[1]["digests"]
    assert [item["samples"]["repeated"] for item in told] == [0, 600]
    assert [item["samples"]["new"] for item in told] == [40, 40]


def test_the_same_content_with_another_label_is_another_sample(tmp_path):
    x = np.ones((4, 8), np.float32)
    new = Samples({"x": x}, np.array([0, 1, 0, 1]))
    old = made(200, 1)
    told = divide(tmp_path, old, None, new, np.ones(4, dtype=bool), nothing_like(old), Amounts())
    assert (told["samples"]["new"], told["samples"]["repeated"]) == (2, 2)
