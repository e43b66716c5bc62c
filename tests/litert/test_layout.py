"""Layouts as permutations, against numpy."""

from __future__ import annotations

import numpy as np
from edgewright.runtimes.litert import layout
from hypothesis import given
from hypothesis import strategies as st

PERMS = st.integers(1, 5).flatmap(lambda rank: st.permutations(range(rank)).map(tuple))


def held(logical: np.ndarray, perm: tuple[int, ...]) -> np.ndarray:
    """The data as they lie in the file."""
    return np.ascontiguousarray(logical.transpose(perm))


@given(PERMS, st.randoms(use_true_random=False))
def test_change_takes_one_layout_to_another(have, random):
    want = tuple(random.sample(have, len(have)))
    logical = np.arange(2 ** len(have)).reshape((2,) * len(have))
    moved = held(logical, have).transpose(layout.change(have, want))
    np.testing.assert_array_equal(moved, held(logical, want))


@given(PERMS, st.randoms(use_true_random=False))
def test_a_transposition_changes_the_layout_and_not_the_data(have, random):
    order = tuple(random.sample(have, len(have)))
    logical = np.arange(np.prod(range(2, 2 + len(have)))).reshape(range(2, 2 + len(have)))
    after = layout.after_transpose(have, order)
    np.testing.assert_array_equal(held(logical, have), held(logical.transpose(order), after))


@given(PERMS, st.lists(st.sampled_from([1, 1, 2, 3]), min_size=5, max_size=5), st.lists(st.integers(0, 5), max_size=3))
def test_a_reshape_that_only_moves_ones_keeps_the_data(have, sizes, ones):
    before = tuple(sizes[: len(have)])
    after = [size for size in before if size != 1]
    for place in ones:
        after.insert(place, 1)
    logical = np.arange(np.prod(before)).reshape(before)
    perm = layout.through_reshape(before, have, after)
    assert perm is not None
    np.testing.assert_array_equal(held(logical, have).reshape(-1), held(logical.reshape(after), perm).reshape(-1))


@given(PERMS, st.lists(st.sampled_from([1, 2, 3]), min_size=5, max_size=5))
def test_moving_nothing(perm, sizes):
    data = np.arange(np.prod(sizes[: len(perm)])).reshape(sizes[: len(perm)])
    same = np.array_equal(data.transpose(perm).reshape(-1), data.reshape(-1))
    assert layout.moves_nothing(data.shape, perm) == same


def test_other_reshapes_need_the_models_own_order():
    assert layout.through_reshape((1, 2, 3), (0, 2, 1), (1, 6)) is None
    assert layout.channels_last(4) == (0, 2, 3, 1)
    assert layout.channels_last(2) == (0, 1)
