"""What is removed is gone, and nothing else has changed: the small model computes what the masked one computes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from edgewright.core.errors import PassError
from edgewright.ir.model import Model
from edgewright.ir.statistics import statistics
from edgewright.ir.verify import verify
from edgewright.optimizer.prune.groups import find_groups
from edgewright.optimizer.prune.mask import mask
from edgewright.optimizer.prune.remove import remove
from prune import nets


def inferred(model: Model) -> dict[str, list[int | str]]:
    """Shapes by value, found again from the nodes alone."""
    proto = onnx.load_from_string(model.to_bytes())
    # ONNX does not infer the shape of this operator's output.
    told = {node.output[0] for node in proto.graph.node if node.op_type == "GroupNormalization"}
    kept = [value for value in proto.graph.value_info if value.name in told]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(kept)
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    found = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True).graph
    return {
        value.name: [axis.dim_value or axis.dim_param for axis in value.type.tensor_type.shape.dim]
        for value in (*found.value_info, *found.output)
    }


@pytest.mark.parametrize("name", nets.NETS)
def test_the_small_model_computes_what_the_masked_one_computes(name: str) -> None:
    model = nets.NETS[name]()
    groups = find_groups(model)
    assert groups.groups
    inputs = nets.inputs_of(model)
    whole = nets.answers(model, inputs)
    for seed, share in enumerate((0.7, 0.4, 0.05, None, None)):
        keep = nets.random_keep(groups, np.random.default_rng(seed), share)
        small, masked = remove(model, keep), mask(model, keep)
        verify(small)
        verify(masked)
        found, expected = nets.answers(small, inputs), nets.answers(masked, inputs)
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-4)
        if share == 0.4:
            assert not np.allclose(found, whole, atol=1e-3)
            assert statistics(small).parameters < 0.8 * statistics(model).parameters


@pytest.mark.parametrize("name", nets.NETS)
def test_shapes_are_those_that_the_nodes_give(name: str) -> None:
    model = nets.NETS[name]()
    small = remove(model, nets.random_keep(find_groups(model), np.random.default_rng(0), 0.5))
    found = inferred(small)
    for node in small.graph:
        for value in node.outputs:
            if value.shape is not None and value.name in found:
                told = [size if isinstance(size, int) else "free" for size in value.shape]
                assert told == [size if isinstance(size, int) and size else "free" for size in found[value.name]], value.name


@pytest.mark.parametrize("name", nets.NETS)
def test_removing_nothing_changes_nothing(name: str) -> None:
    model = nets.NETS[name]()
    before = model.to_bytes()
    everything = {group.name: range(group.units) for group in find_groups(model).groups}
    assert remove(model, everything).to_bytes() == before
    assert remove(model, {}).to_bytes() == before
    assert mask(model, everything).to_bytes() == before
    assert model.to_bytes() == before


@pytest.mark.parametrize("name", ["residual", "grouped", "attention", "lstm", "shuffled_halves"])
def test_removing_twice_is_removing_at_once(name: str) -> None:
    model = nets.NETS[name]()
    groups = find_groups(model)
    first = nets.random_keep(groups, np.random.default_rng(0), 0.7)
    once = remove(model, first)
    again = find_groups(once)
    assert [group.units for group in again.groups] == [len(units) for units in first.values() if len(units) > 1]
    second = nets.random_keep(again, np.random.default_rng(1), 0.6)
    twice = remove(once, second)
    inputs = nets.inputs_of(model)
    pairs = zip((units for units in first.values() if len(units) > 1), second.values(), strict=True)
    names = (name for name, units in first.items() if len(units) > 1)
    both = {**first, **{name: [old[unit] for unit in new] for name, (old, new) in zip(names, pairs, strict=True)}}
    np.testing.assert_allclose(nets.answers(twice, inputs), nets.answers(remove(model, both), inputs), atol=1e-5)


def test_weights_lose_rows_and_columns_and_keep_their_names() -> None:
    model = nets.plain()
    first, second = find_groups(model).groups
    small = remove(model, {first.name: [0, 5, 6], second.name: [9]})
    before, after = model.weights(), small.weights()
    assert set(before) == set(after)
    np.testing.assert_array_equal(after["w0"], before["w0"][[0, 5, 6]])
    np.testing.assert_array_equal(after["w6"], before["w6"][[9]][:, [0, 5, 6]])


def test_the_scale_of_attention_stays() -> None:
    model = nets.attention()
    small = remove(model, nets.random_keep(find_groups(model), np.random.default_rng(0), 0.5))
    assert small.weights()["scale"] == model.weights()["scale"]


def test_a_shuffle_of_unequal_halves_becomes_a_gather() -> None:
    model = nets.shuffled_halves()
    keep = nets.random_keep(find_groups(model), np.random.default_rng(0), 0.5)
    small = remove(model, keep)
    kinds = [node.op_type for node in small.graph]
    assert kinds.count("Gather") == 2
    assert "Transpose" not in kinds


def test_as_many_groups_as_channels_stay_in_a_depthwise_convolution() -> None:
    model = nets.separable()
    small = remove(model, {find_groups(model).groups[0].name: [1, 4, 7]})
    groups = [node.attributes.get_int("group", 1) for node in small.graph if node.op_type == "Conv"]
    assert groups == [1, 3, 1, 6, 1]


@pytest.mark.parametrize(
    ("net", "keep", "words"),
    [
        ("plain", {"convolution": [0]}, "unknown group of channels 'convolution'"),
        ("plain", {"conv0": []}, "nothing of the group 'conv0' would be kept; keep at least one of its 12 units"),
        ("plain", {"conv0": [3, 2]}, "must be ascending numbers from 0 to 11"),
        ("plain", {"conv0": [2, 2]}, "must be ascending numbers from 0 to 11"),
        ("plain", {"conv0": [12]}, "must be ascending numbers from 0 to 11"),
        ("grouped", {"conv0": [0, 1, 4]}, "would keep 0 to 2 units in its 3 partitions; keep as many in each"),
    ],
)
def test_what_cannot_be_kept_is_told(net: str, keep: dict[str, list[int]], words: str) -> None:
    for change in (remove, mask):
        with pytest.raises(PassError, match=words.replace("(", r"\(")):
            change(nets.NETS[net](), keep)
