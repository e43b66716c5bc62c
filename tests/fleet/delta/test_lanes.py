"""Arithmetic in lanes equals numpy's on every item."""

from __future__ import annotations

import numpy as np
import pytest
from edgewright.fleet.delta import lanes
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("item", [1, 2, 4, 8])
@given(data=st.data())
def test_addition_wraps_in_each_item(item: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 40))
    a, b = (data.draw(st.binary(min_size=item * count, max_size=item * count)) for _ in range(2))
    expected = np.frombuffer(a, f"<u{item}") + np.frombuffer(b, f"<u{item}")
    assert lanes.add(a, b, item) == expected.tobytes()


@given(st.binary(min_size=1, max_size=60))
def test_nibbles_wrap_apart(old: bytes) -> None:
    symbols = np.random.default_rng(len(old)).integers(0, 16, 2 * len(old)).astype(np.uint8)
    difference = lanes.join_nibbles(symbols.tobytes())
    added = lanes.add_nibbles(old, difference)
    steps = symbols.tolist()
    for index, value in enumerate(added):
        assert value & 15 == (old[index] + steps[2 * index]) & 15
        assert value >> 4 == (old[index] >> 4) + steps[2 * index + 1] & 15


@pytest.mark.parametrize("item", [2, 4, 8])
def test_planes_unfold_to_signed_items(item: int) -> None:
    edges = [0, 1, -1, 2, -2, 127, -128, 2 ** (8 * item - 1) - 1, -(2 ** (8 * item - 1))]
    folded = [2 * value if value >= 0 else -2 * value - 1 for value in edges]
    items = np.array(folded, np.uint64).astype(f"<u{item}")
    planes = [bytes(items.view(np.uint8)[plane::item]) for plane in range(item)]
    assert np.frombuffer(lanes.join_planes(planes), f"<i{item}").tolist() == edges
