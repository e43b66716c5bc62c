"""Masked is what removed is, told in another way: weights that read what goes are zero."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from edgewright.ir.model import Model, initializer
from edgewright.optimizer.prune.groups import find_groups
from edgewright.optimizer.prune.mask import mask
from edgewright.optimizer.prune.remove import remove
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prune import nets

# Nothing in these normalizes over channels, so that zero weights in the readers are all that masking is.
_ONLY_READ = (
    "plain", "free_batch", "residual", "densely_joined", "separable", "shuffled_halves", "squeeze_excite", "flattened",
    "channels_last", "gated", "cut_up", "padded_channels", "lstm", "gru", "rnn",
)  # fmt: skip


def with_zero_readers(model: Model, keep: dict[str, list[int]]) -> Model:
    """The model where every weight is zero that reads a unit which is not kept."""
    result = model.clone()
    groups = find_groups(model)
    for name, kept in keep.items():
        gone = np.setdiff1d(np.arange(groups[name].units), kept)
        for place in groups[name].weights:
            if place.role == "reads":
                value = result.graph.initializers[place.tensor]
                array = result.weights()[place.tensor].copy()
                np.moveaxis(array, place.axis, 0)[place.index[gone].ravel()] = 0
                value.const_value = initializer(place.tensor, array).const_value
    return result


@pytest.mark.parametrize("name", _ONLY_READ)
def test_masking_is_reading_zeros(name: str) -> None:
    model = nets.NETS[name]()
    keep = nets.random_keep(find_groups(model), np.random.default_rng(3), 0.5)
    inputs = nets.inputs_of(model)
    found = nets.answers(mask(model, keep), inputs)
    np.testing.assert_allclose(found, nets.answers(with_zero_readers(model, keep), inputs), atol=1e-5)


def test_shapes_and_weights_stay() -> None:
    model = nets.residual()
    masked = mask(model, nets.random_keep(find_groups(model), np.random.default_rng(0), 0.5))
    before, after = model.weights(), masked.weights()
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name])
    shapes = {value.name: str(value.shape) for node in model.graph for value in node.outputs}
    assert shapes.items() <= {value.name: str(value.shape) for node in masked.graph for value in node.outputs}.items()


def test_a_value_with_several_readers_is_masked_once() -> None:
    model = nets.residual()
    (name, *_) = (group.name for group in find_groups(model).groups)
    masked = mask(model, {name: [0, 1, 2]})
    values = [node.inputs[1].name for node in masked.graph if node.op_type == "Where" and node.inputs[1] is not None]
    assert values == ["relu2", "add7"]


@st.composite
def networks(draw: st.DrawFn) -> Model:
    """A graph of maps [1, channels, 6, 6] that are convolved, added, joined, split, shuffled and reshaped at random."""
    net = nets.Net(draw(st.integers(0, 2**16)), x=[1, 2, 6, 6])
    maps = [(net.block("x", 2, draw(st.sampled_from((4, 6, 8)))), 0)]
    maps = [(maps[0][0], len(net.weights[net.nodes[0].input[1]]))]
    for _ in range(draw(st.integers(2, 6))):
        x, channels = draw(st.sampled_from(maps))
        step = draw(st.sampled_from(("conv", "depthwise", "grouped", "add", "join", "split", "shuffle", "scale", "lines")))
        if step == "conv":
            outputs = draw(st.sampled_from((4, 6, 8)))
            maps.append((net.block(x, channels, outputs), outputs))
        elif step == "depthwise":
            maps.append((net.block(x, channels, channels, group=channels), channels))
        elif step == "grouped" and channels % 2 == 0:
            maps.append((net.block(x, channels, 2 * channels, group=2), 2 * channels))
        elif step == "add":
            same = [other for other, size in maps if size == channels]
            maps.append((net.add("Add", x, draw(st.sampled_from(same))), channels))
        elif step == "join":
            other, size = draw(st.sampled_from(maps))
            maps.append((net.add("Concat", x, other, axis=1), channels + size))
        elif step == "split" and channels > 3:
            cut = draw(st.integers(2, channels - 2))
            parts = net.add("Split", x, net.numbers(cut, channels - cut), axis=1, outputs=2)
            maps += list(zip(parts, (cut, channels - cut), strict=True))
        elif step == "shuffle" and channels % 2 == 0:
            y = net.add("Reshape", x, net.numbers(1, 2, channels // 2, 6, 6))
            y = net.add("Transpose", y, perm=[0, 2, 1, 3, 4])
            maps.append((net.add("Reshape", y, net.numbers(1, channels, 6, 6)), channels))
        elif step == "scale":
            maps.append((net.add("Sigmoid", net.add("Mul", x, net.weight(channels, 1, 1))), channels))
        elif step == "lines" and channels % 2 == 0:
            y = net.add("Tanh", net.add("Reshape", x, net.numbers(1, 2, -1, 36)))
            maps.append((net.add("Reshape", y, net.numbers(0, channels, 6, 6)), channels))
    ends = [net.head(x, channels) for x, channels in maps[-2:]]
    return net.model(net.add("Add", *ends) if len(ends) > 1 else ends[0])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(networks(), st.integers(0, 2**16))
def test_any_network_pruned_equals_it_masked(model: Model, seed: int) -> None:
    groups = find_groups(model)
    keep = nets.random_keep(groups, np.random.default_rng(seed))
    inputs = nets.inputs_of(model)
    masked = nets.answers(mask(model, keep), inputs)
    np.testing.assert_allclose(nets.answers(remove(model, keep), inputs), masked, atol=1e-5, rtol=1e-4)
    assert remove(model, {group.name: range(group.units) for group in groups.groups}).to_bytes() == model.to_bytes()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(networks())
def test_every_place_is_a_cut_of_its_axis(model: Model) -> None:
    weights = model.weights()
    for group in find_groups(model).groups:
        for place in (*group.weights, *group.values):
            assert len(place.index) == group.units
            assert len(np.unique(place.index)) == place.index.size
            assert all(a < b for row in place.index.tolist() for a, b in pairwise(row))
            if place.tensor in weights:
                assert place.index.max() < weights[place.tensor].shape[place.axis]
