"""Which channels go together, on networks of each kind."""

from __future__ import annotations

import numpy as np
import pytest
from edgewright.core.errors import PassError
from edgewright.optimizer.prune.groups import find_groups
from edgewright.optimizer.prune.places import Groups
from prune import nets


def units(groups: Groups) -> dict[str, int]:
    return {group.name: group.units for group in groups.groups}


def test_a_chain_has_a_group_for_each_layer_but_the_last() -> None:
    groups = find_groups(nets.plain())
    assert units(groups) == {"conv0": 12, "conv3": 10}
    assert groups.skipped == {"gemm8": "it is an output of the model"}
    places = [(place.tensor, place.axis, place.index.tolist(), place.role) for place in groups["conv3"].weights]
    each = [[unit] for unit in range(10)]
    # Weights, bias, the four vectors of batch normalization, and the weights that read.
    assert sorted(places) == sorted(
        [("w6", 0, each, "makes"), ("w7", 0, each, "makes"), ("w12", 1, each, "reads")]
        + [(f"w{place}", 0, each, "scales") for place in (8, 9, 10, 11)]
    )
    assert {place.tensor for place in groups["conv3"].values} == {
        "conv3", "batchnormalization4", "relu5", "globalaveragepool6", "flatten7"
    }  # fmt: skip
    assert all(group.kind == "channels" and group.partitions is None for group in groups.groups)


def test_what_is_added_goes_together() -> None:
    groups = find_groups(nets.residual())
    assert units(groups) == {"conv0": 8, "conv3": 6, "conv8": 8}
    makers = {place.tensor for place in groups["conv0"].weights if place.role == "makes"}
    assert makers == {"w0", "w1", "w12", "w13"}


def test_what_is_added_to_an_input_stays() -> None:
    groups = find_groups(nets.fixed_partner())
    assert units(groups) == {"conv0": 8, "conv5": 6}
    assert groups.skipped["conv3"] == "its channels meet data of a fixed size"


def test_joined_layers_are_pruned_each_by_itself() -> None:
    groups = find_groups(nets.densely_joined())
    assert units(groups) == {"conv0": 6, "conv3": 4, "conv9": 5, "conv11": 7}
    reads = [place for place in groups["conv9"].weights if place.role == "reads"]
    assert [place.index.ravel().tolist() for place in reads] == [[10, 11, 12, 13, 14]]


def test_depthwise_layers_follow_their_input() -> None:
    groups = find_groups(nets.separable())
    assert units(groups) == {"conv0": 8, "conv6": 6, "conv13": 8}
    twice = [place.index for place in groups["conv6"].weights if place.tensor == "w18"]
    assert twice[0].tolist() == [[2 * unit, 2 * unit + 1] for unit in range(6)]


def test_a_grouped_convolution_wants_as_many_in_each_of_its_groups() -> None:
    groups = find_groups(nets.grouped())
    assert groups["conv0"].partitions is not None
    assert groups["conv0"].partitions.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert groups["conv3"].partitions is not None
    assert groups["conv3"].partitions.tolist() == [0] * 6 + [1] * 6 + [2] * 6


def test_where_partitions_are_uneven_units_are_united_across_them() -> None:
    groups = find_groups(nets.grouped_behind_a_join())
    # Of the three places in each of four parts, the first is twice of one layer and twice of the other; the last two are once
    # of the first layer and three times of the second, so that these two can take each other's place.
    group = groups["conv0[1]"]
    assert group.units == 2
    assert {place.tensor: place.index.tolist() for place in group.weights if place.role == "makes"} == {
        "w0": [[1], [2]], "w1": [[1], [2]], "w6": [[0, 3, 6], [1, 4, 7]], "w7": [[0, 3, 6], [1, 4, 7]]
    }  # fmt: skip


def test_a_shuffle_ties_nothing() -> None:
    groups = find_groups(nets.shuffled_halves())
    assert groups.groups[0].name == "conv0"
    assert all(group.partitions is None for group in groups.groups)
    assert sum(group.units for group in groups.groups) == 22
    # The right half goes to the next layers, the left one further on: units with other readers are groups of their own.
    assert {"conv0", "conv0[3]"} <= set(units(groups))


def test_a_shuffle_between_grouped_convolutions_wants_equal_numbers_by_both() -> None:
    groups = find_groups(nets.shuffled_groups())
    partitions = groups["conv3"].partitions
    assert partitions is not None
    assert np.unique(partitions, return_counts=True)[1].tolist() == [3, 3, 3, 3]


def test_a_channel_has_many_places_behind_flatten() -> None:
    groups = find_groups(nets.flattened())
    (reads,) = (place for place in groups["conv0"].weights if place.role == "reads")
    assert reads.index.shape == (8, 9)
    assert reads.index[2].tolist() == list(range(18, 27))


def test_heads_widths_and_the_residual_stream() -> None:
    groups = find_groups(nets.attention())
    kinds = {group.kind: group for group in groups.groups}
    assert {kind: group.units for kind, group in kinds.items()} == {"heads": 4, "features": 24} | {"features": 24}
    by_units = {group.units: group for group in groups.groups}
    assert set(by_units) == {4, 16, 24}
    heads = by_units[4]
    assert {place.index.shape for place in heads.weights} == {(4, 4)}
    assert sum(place.role == "makes" for place in heads.weights) == 3
    assert sum(place.role == "reads" for place in heads.weights) == 1
    assert sum(place.role == "scales" for place in by_units[16].weights) >= 4


def test_heads_of_one_product_for_queries_keys_and_values() -> None:
    groups = find_groups(nets.fused_attention())
    (heads,) = (group for group in groups.groups if group.kind == "heads")
    (makes,) = (place for place in heads.weights if place.role == "makes")
    assert heads.units == 3
    assert makes.index[1].tolist() == [*range(4, 8), *range(16, 20), *range(28, 32)]


def test_a_constant_along_the_width_of_heads_does_not_tie_them() -> None:
    groups = find_groups(nets.rotary_attention())
    assert [group.units for group in groups.groups if group.kind == "heads"] == [4]


def test_group_normalization_wants_as_many_in_each_group() -> None:
    for net in (nets.group_normalized, nets.normalized_in_all_ways):
        partitions = find_groups(net())["conv0"].partitions
        assert partitions is not None
        assert len(set(np.unique(partitions, return_counts=True)[1].tolist())) == 1


@pytest.mark.parametrize(("net", "gates"), [("lstm", 4), ("gru", 3), ("rnn", 1)])
def test_a_hidden_unit_is_a_row_of_every_gate(net: str, gates: int) -> None:
    groups = find_groups(nets.NETS[net]())
    assert [(group.kind, group.units) for group in groups.groups] == [("hidden", 8), ("hidden", 8)]
    both_ways = groups.groups[0].weights
    assert [(place.axis, place.index.shape[1], place.role) for place in both_ways] == [
        (1, gates, "makes"), (1, gates, "makes"), (2, 1, "reads"), (1, 2 * gates, "makes"), (2, 2, "reads")
    ]  # fmt: skip


def test_the_width_of_an_embedding_is_a_group_and_its_vocabulary_is_not() -> None:
    (group,) = find_groups(nets.embedded()).groups
    assert (group.units, group.kind) == (10, "features")
    assert {place.tensor: place.axis for place in group.weights if place.role == "makes"} == {"w0": 1}


def test_weights_that_are_equal_by_chance_tie_nothing() -> None:
    net = nets.Net(x=[1, 3, 4, 4])
    zeros = net.weight(6)
    net.weights[zeros][:] = 0
    y = net.add("Relu", net.add("Conv", "x", net.weight(6, 3, 1, 1), zeros))
    y = net.add("Relu", net.add("Conv", y, net.weight(6, 6, 1, 1), zeros))
    model = net.model(net.head(y, 6))
    groups = find_groups(model)
    assert units(groups) == {"conv0": 6, "conv2": 6}
    assert [place.tensor for group in groups.groups for place in group.weights].count(zeros) == 2


def test_a_matrix_that_is_read_twice_is_tied() -> None:
    net = nets.Net(x=[1, 4, 6])
    y = net.add("Relu", net.add("MatMul", "x", net.weight(6, 8)))
    tied = net.weight(8, 8)
    y = net.add("Relu", net.add("MatMul", net.add("Relu", net.add("MatMul", y, tied)), tied))
    groups = find_groups(net.model(net.add("MatMul", y, net.weight(8, 2))))
    assert units(groups) == {"matmul0": 8}


def test_an_operator_without_a_rule_stops_what_it_reads_and_says_so() -> None:
    net = nets.Net(x=[1, 3, 4, 4])
    y = net.add("TopK", net.block("x", 3, 6), net.numbers(2), axis=1, outputs=2)[0]
    groups = find_groups(net.model(net.head(net.block(y, 2, 5), 5)))
    assert units(groups) == {"conv4": 5}
    assert groups.skipped["conv0"] == "no rule says how TopK passes channels on"


def test_softmax_over_channels_stops_them() -> None:
    net = nets.Net(x=[1, 3, 4, 4])
    y = net.add("Softmax", net.conv("x", 3, 6), axis=1)
    groups = find_groups(net.model(net.head(net.block(y, 6, 5), 5)))
    assert groups.skipped["conv0"] == "Softmax compares its positions"


def test_only_sizes_that_are_computed_with_are_fixed() -> None:
    net = nets.Net(x=["batch", 3, 4, 4])
    y, z = net.block("x", 3, 6), net.block("x", 3, 8)
    batch = net.add("Shape", y, start=0, end=1)
    wide = net.add("Expand", net.weight(1, 6, 1, 1), net.add("Concat", batch, net.numbers(6, 1, 1), axis=0))
    channels = net.add("Cast", net.add("Shape", z, start=1, end=2), to=1)
    y = net.add("Add", net.add("Add", y, wide), net.conv(net.add("Mul", z, channels), 8, 6))
    groups = find_groups(net.model(net.head(y, 6)))
    assert units(groups) == {"conv0": 6}
    assert groups.skipped["conv3"].endswith("is its size")


def test_a_weight_that_an_unknown_operator_reads_stays_whole() -> None:
    net = nets.Net(x=[1, 3, 4, 4])
    weight = net.weight(6, 3, 1, 1)
    y = net.add("Relu", net.add("Conv", "x", weight))
    net.weights["diagonal"] = np.array(0, np.int64)
    cut = net.add("Trilu", weight, "diagonal")
    model = net.model(net.add("Add", net.head(net.block(y, 6, 5), 5), net.add("ReduceSum", cut, net.numbers(0, 1, 2, 3))))
    assert units(find_groups(model)) == {"conv3": 5}


def test_a_free_axis_behind_the_first_is_refused() -> None:
    net = nets.Net(x=[1, 3, "height", 8])
    model = net.model(net.head(net.block("x", 3, 6), 6))
    with pytest.raises(PassError, match="axis 2 of the input 'x' has no fixed size"):
        find_groups(model)


def test_names_are_the_same_every_time() -> None:
    first, second = find_groups(nets.shuffled_halves()), find_groups(nets.shuffled_halves())
    assert [group.name for group in first.groups] == [group.name for group in second.groups]
    assert len({group.name for group in first.groups}) == len(first.groups)
