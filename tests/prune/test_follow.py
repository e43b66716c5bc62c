"""Groups after a removal: each is found again by the weights that make it, whatever its name and place among the others are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from edgewright.ir.model import Model
from edgewright.optimizer.prune.align import widths_of
from edgewright.optimizer.prune.allocate import kept_units
from edgewright.optimizer.prune.follow import follow
from edgewright.optimizer.prune.groups import find_groups
from edgewright.optimizer.prune.places import Group
from edgewright.optimizer.prune.remove import remove
from prune import nets


def _along(model: Model, group: Group, units: Sequence[int] | None = None) -> dict[str, list[float]]:
    """Numbers that lie along some units of a group: biases, and what norms have of each channel."""
    rows = np.arange(group.units) if units is None else np.asarray(units)
    weights = model.weights()
    return {
        place.tensor: weights[place.tensor][place.index[rows].ravel()].tolist()
        for place in group.weights
        if place.tensor in weights and weights[place.tensor].ndim == 1
    }


@pytest.mark.parametrize("name", nets.NETS)
def test_every_group_is_found_again_before_the_last_removal(name: str) -> None:
    model = nets.NETS[name]()
    groups = find_groups(model).groups
    random = np.random.default_rng(0)
    for step in range(4):
        keep = {}
        for group in groups:
            allowed = widths_of(group, 1, is_last=False)
            width = allowed.least if step == 0 else int(random.choice(allowed.allowed))
            keep[group.name] = kept_units(group, random.uniform(size=group.units), width)
        left = remove(model, keep)
        found = follow(groups, keep, find_groups(left).groups)
        for group in groups:
            again = found[group.name]
            assert again is not None
            assert again.units == len(keep[group.name])
            assert _along(left, again) == _along(model, group, keep[group.name])


def test_a_group_that_comes_to_lie_behind_another_is_still_itself() -> None:
    model = nets.shuffled_then_halved()
    first, second, *_ = groups = find_groups(model).groups
    assert [place.index.ravel().tolist() for place in first.weights[:1]] == [[0, 1, 2, 6, 7, 8]]
    keep = {group.name: tuple(range(group.units)) for group in groups} | {first.name: (3, 4), second.name: (0, 1, 3)}
    found = follow(groups, keep, find_groups(remove(model, keep)).groups)
    places = [group and group.weights[0].index.ravel().tolist() for group in (found[first.name], found[second.name])]
    assert places == [[2, 3], [0, 1, 4]]


def test_outputs_that_became_depthwise_are_no_group_any_more() -> None:
    model = nets.shuffled_groups()
    groups = find_groups(model).groups
    keep = {group.name: kept_units(group, np.zeros(group.units), widths_of(group, 1).least) for group in groups}
    found = follow(groups, keep, find_groups(remove(model, keep)).groups)
    assert [name for name, group in found.items() if group is None] == [groups[1].name]
