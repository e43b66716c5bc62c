"""Where the units that can be pruned lie: groups of units, and their places on the axes of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Role = Literal["makes", "reads", "scales", "value"]
Kind = Literal["channels", "heads", "hidden", "features"]


@dataclass(frozen=True, eq=False)
class Place:
    """Where a group's units lie on one axis of one tensor.

    `tensor`: name of an initializer or of an activation. `index`: [units, per_unit] positions on `axis`, those of a unit
    ascending. `role`: "makes" (weights that make the units, their bias included), "reads" (weights that sum over them),
    "scales" (parameters along them, of an elementwise operator or a normalization), or "value" (an activation).
    """

    tensor: str
    axis: int
    index: NDArray[np.int64]
    role: Role


@dataclass(frozen=True, eq=False)
class Group:
    """Units of which any subset may be kept, at least one (and as many in each partition).

    `name`: of the first layer's output that makes it; where a layer makes several groups, the later ones have the first
    position of theirs behind it, in brackets. `weights`: places on initializers. `values`: places on activations.
    `partitions`: [units] where equal numbers must be kept in each partition (grouped convolution, group normalization), else
    None. The input side of a grouped convolution's weights is no place: its axis means another channel in each group.
    """

    name: str
    units: int
    kind: Kind
    weights: tuple[Place, ...]
    values: tuple[Place, ...]
    partitions: NDArray[np.int64] | None


@dataclass(frozen=True, eq=False)
class Groups:
    """All groups of a model, in the order in which they are made.

    `skipped`: for each layer with outputs that belong to no group, by the name of its output, why it cannot be pruned.
    """

    groups: tuple[Group, ...]
    skipped: Mapping[str, str]

    def __getitem__(self, name: str) -> Group:
        """The group of that name; raises KeyError."""
        return {group.name: group for group in self.groups}[name]
