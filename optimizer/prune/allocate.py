"""How many units each group keeps: families of widths, from all units to the least, and the first that meets the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...core.errors import PassError, unknown
from .align import Widths as Allowed
from .costs import CostModel, Widths
from .importance import Scores
from .places import Group

Allocation = Literal["latency", "macs", "global", "isomorphic", "uniform"]
# Widths by group at t in [0, 1]: everything at 0, the least at 1, and never more at a larger t.
Family = Callable[[float], Mapping[str, int]]

_LOOK_AHEAD = 4
_HALVINGS = 30
_LEAST_SHARE = 1e-12


@dataclass(frozen=True, eq=False)
class Choices:
    """What may be chosen: groups, their allowed widths and their units' scores, all by group name.

    `is_comparable`: scores compare between groups; else only within one, and have a mean of 1.
    """

    groups: Sequence[Group]
    allowed: Mapping[str, Allowed]
    scores: Scores
    is_comparable: bool

    @property
    def full(self) -> dict[str, int]:
        """All units of every group."""
        return {group.name: group.units for group in self.groups}

    @property
    def least(self) -> dict[str, int]:
        """The smallest widths."""
        return {name: allowed.least for name, allowed in self.allowed.items()}


def family_of(allocation: Allocation, choices: Choices, cost: Callable[[], CostModel]) -> Family:
    """The widths that an allocation goes through; `cost` is asked for by "latency" and "macs" alone.

    - "uniform": the same share of each group.
    - "global": one ranking of all units, by `harm` of losing one (see there).
    - "isomorphic": the same share of each class of groups alike in structure, ranked within the class (2407.04616).
    - "latency": step by step, where least harm is done for what is saved of `cost` (a knapsack, as HALP's 2110.10811, solved
      greedily with a look-ahead over a few steps, since time falls in stairs).
    - "macs": the same with multiply-accumulates as the cost: whatever machine compiles, the widths are the same.
    """
    if allocation == "uniform":
        return _uniform(choices)
    if allocation == "global":
        return _by_threshold(choices, {group.name: _ascending_harm(group, choices) for group in choices.groups})
    if allocation == "isomorphic":
        return _by_threshold(choices, _class_quantiles(choices))
    return _greedy(choices, cost())


def kept_units(group: Group, scores: NDArray[np.float64], width: int) -> tuple[int, ...]:
    """The `width` most important units, ascending; as many in every partition; of equal ones the first."""
    order = np.argsort(-scores, kind="stable")
    if group.partitions is None:
        return tuple(sorted(int(unit) for unit in order[:width]))
    each = width // len(np.unique(group.partitions))
    kept = [unit for part in np.unique(group.partitions) for unit in order[group.partitions[order] == part][:each]]
    return tuple(sorted(int(unit) for unit in kept))


def reach(family: Family, count: Callable[[Widths], float], target: float) -> Mapping[str, int] | None:
    """The first widths of `family` whose `count` is at most `target`, or None where even the last are above.

    Found by bisection. Between the last widths above the target and the first at or below it, groups go down one at a time, the
    last first, so that no more is removed than the steps of a single group demand.
    """
    if count(family(1.0)) > target:
        return None
    above, below = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (above + below) / 2
        if family(above) == family(below):
            break
        if count(family(middle)) > target:
            above = middle
        else:
            below = middle
    widths, last = dict(family(above)), family(below)
    for name in reversed([name for name in last if last[name] != widths[name]]):
        if count(widths) <= target:
            break
        widths[name] = last[name]
    return widths


def harm(remaining: NDArray[np.float64]) -> NDArray[np.float64]:
    """Harm of what a group has lost when `remaining` [units + 1] of its importance are left, the first being all of it.

    -log of the share that is left, times the whole: to first order the importance that is lost. Near the end it grows without
    bound, so that no group is emptied because each single unit of it seems cheap; divided by the whole, its increments are the
    layer-adaptive scores of LAMP (2010.07611).
    """
    whole = float(remaining[0])
    if whole <= 0:
        return np.zeros_like(remaining)
    return np.asarray(-whole * np.log(np.maximum(remaining / whole, _LEAST_SHARE)))


def _uniform(choices: Choices) -> Family:
    def widths(t: float) -> Mapping[str, int]:
        found = {}
        for name, allowed in choices.allowed.items():
            found[name] = allowed.nearest(allowed.units - t * (allowed.units - allowed.least))
        return found

    return widths


def _ascending(group: Group, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores in the order in which units go: ascending, or where partitions go together, the sums of what goes at once."""
    if group.partitions is None:
        return np.sort(scores)
    parts = np.unique(group.partitions)
    return np.repeat(np.mean([np.sort(scores[group.partitions == part]) for part in parts], axis=0), len(parts))


def _left(group: Group, choices: Choices) -> NDArray[np.float64]:
    """Importance that is left [units + 1] after the least important 0, 1, ... units."""
    gone = np.concatenate([[0.0], np.cumsum(_ascending(group, choices.scores[group.name]))])
    return np.asarray(gone[-1] - gone)


def _ascending_harm(group: Group, choices: Choices) -> NDArray[np.float64]:
    """Harm of each unit [units] in the order in which they go."""
    return np.diff(harm(_left(group, choices)))


def _class_quantiles(choices: Choices) -> dict[str, NDArray[np.float64]]:
    """Rank of each unit among all units of groups like its own, from 0 to 1, in the order in which they go."""
    classes: dict[tuple[object, ...], list[Group]] = {}
    for group in choices.groups:
        classes.setdefault(_structure(group), []).append(group)
    found: dict[str, NDArray[np.float64]] = {}
    for members in classes.values():
        every = np.sort(np.concatenate([choices.scores[group.name] for group in members]))
        for group in members:
            ascending = _ascending(group, choices.scores[group.name])
            found[group.name] = np.searchsorted(every, ascending, side="right") / len(every)
    return found


def _structure(group: Group) -> tuple[object, ...]:
    """What makes groups alike: their kind, and how many tensors of which rank make, read and scale them."""
    places = sorted((place.role, place.axis, place.index.shape[1]) for place in group.weights)
    return (group.kind, group.partitions is None, *places)


def _by_threshold(choices: Choices, ranked: Mapping[str, NDArray[np.float64]]) -> Family:
    """Widths that are left when all units ranked up to a threshold go; t is the share of all units that it takes away."""
    every = np.sort(np.concatenate(list(ranked.values()))) if ranked else np.zeros(1)

    def widths(t: float) -> Mapping[str, int]:
        if t >= 1:
            return choices.least
        threshold = np.quantile(every, t) if t > 0 else -np.inf
        found = {}
        for name, allowed in choices.allowed.items():
            left = allowed.units - int((np.maximum.accumulate(ranked[name]) <= threshold).sum())
            found[name] = allowed.nearest(left)
        return found

    return widths


def _greedy(choices: Choices, cost: CostModel) -> Family:
    """The path of steps down, each the one with the least harm for what it saves."""
    steps = _Descent(choices, cost).steps()

    def widths(t: float) -> Mapping[str, int]:
        found = dict(choices.full)
        for name, width in steps[: round(t * len(steps))]:
            found[name] = width
        return found

    return widths


class _Descent:
    def __init__(self, choices: Choices, cost: CostModel) -> None:
        self._choices, self._cost = choices, cost
        self._widths = dict(choices.full)
        self._harm: dict[str, NDArray[np.float64]] = {}
        for group in choices.groups:
            found = harm(_left(group, choices))
            # Scores that do not compare sum to the number of units: then each whole group weighs the same.
            self._harm[group.name] = found if choices.is_comparable else found / group.units

    def steps(self) -> list[tuple[str, int]]:
        """(group, its next width) in order, down to the least widths of all."""
        found: list[tuple[str, int]] = []
        offers = {group.name: self._offer(group) for group in self._choices.groups}
        groups = {group.name: group for group in self._choices.groups}
        while any(offer is not None for offer in offers.values()):
            _, _, name, width = min(offer for offer in offers.values() if offer is not None)
            self._widths[name] = width
            found.append((name, width))
            for changed in self._cost.neighbours(name):
                offers[changed] = self._offer(groups[changed])
        return found

    def _offer(self, group: Group) -> tuple[float, int, str, int] | None:
        """The group's best next width, by harm for what it saves."""
        now = self._widths[group.name]
        smaller = self._choices.allowed[group.name].below(now)[:_LOOK_AHEAD]
        before = self._cost.of_group(group.name, self._widths)
        best = None
        for width in smaller:
            saved = before - self._cost.of_group(group.name, {**self._widths, group.name: width})
            lost = float(self._harm[group.name][group.units - width] - self._harm[group.name][group.units - now])
            price = lost / saved if saved > 0 else np.inf
            offer = (price, -width, group.name, width)
            if best is None or offer < best:
                best = offer
        return best


def given_widths(
    ratios: Sequence[str], choices: Choices, layers: Mapping[str, str], whole: Widths, done: float = 1.0
) -> dict[str, int]:
    """Widths by `ratios` ("layer:0.3", a share of the `whole` units to remove), `done` of it.

    `layers` has the group of each layer's output. Raises PassError for a layer that no group has, a share that is none, or two
    shares for one group.
    """
    widths = dict(choices.full)
    said: dict[str, str] = {}
    for text in ratios:
        layer, _, share = text.rpartition(":")
        ratio = _share(share)
        if not layer or ratio is None:
            raise PassError(f"prune: ratios has {text!r}; write LAYER:SHARE with a share from 0 to below 1.")
        name = layers.get(layer, "")
        if name not in widths:
            raise PassError(f"prune: ratios: {unknown('layer', layer, [item for item in layers if layers[item] in widths])}")
        if name in said:
            raise PassError(f"prune: ratios names {said[name]!r} and {layer!r}, which can only be pruned together; name one.")
        said[name] = layer
        widths[name] = choices.allowed[name].nearest(whole[name] * (1 - ratio * done))
    return widths


def _share(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if 0 <= found < 1 else None
