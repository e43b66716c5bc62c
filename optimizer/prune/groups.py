"""Groups of channels, heads and hidden units that can be pruned, found on the graph.

After DepGraph (2301.12900): what depends on what is found by letting index maps pass the operators. Here every position on
every axis has a label, and operators unite the labels of positions that must go together.
"""

from __future__ import annotations

import numpy as np

from ...ir.model import Model
from .labels import Ids
from .places import Group, Groups, Place, Role
from .trace import Trace
from .units import Family, families
from .walk import trace

_ALONE = "all that it makes is one unit, and one must stay"


def find_groups(model: Model) -> Groups:
    """All groups of `model` (in training form, or of fixed batch 1), and the layers that belong to none, with the reason.

    Raises PassError where an input's size is free beside its first axis.
    """
    traced = trace(model)
    found = [family for family in families(traced) if len(family.roots) > 1]
    weights, values = _places(traced, found)
    return Groups(
        tuple(
            Group(family.name, len(family.roots), family.kind, tuple(mine), tuple(values[family]), family.partitions)
            for family, mine in weights.items()
        ),
        _skipped(traced, found),
    )


def _places(trace: Trace, found: list[Family]) -> tuple[dict[Family, list[Place]], dict[Family, list[Place]]]:
    """Of each group its places on weights and on activations."""
    weights: dict[Family, list[Place]] = {family: [] for family in found}
    values: dict[Family, list[Place]] = {family: [] for family in found}
    owners = _Owners(trace, found)
    initializers = trace.model.graph.initializers
    for name, layout in trace.layouts.items():
        for span in layout:
            if len(span.axes) > 1:
                continue
            axis = span.axes[0]
            is_weight = name in initializers
            role: Role = trace.roles.get((name, axis), "scales") if is_weight else "value"
            for family, index in owners.indices(trace.labels.roots(span.ids)):
                into = weights if is_weight else values
                into[family].append(Place(trace.origin.get(name, name), axis, index, role))
    return weights, values


class _Owners:
    """Which group and which unit of it every root is."""

    def __init__(self, trace: Trace, found: list[Family]) -> None:
        self._families = found
        self._family = np.full(trace.labels.count, -1, np.int64)
        self._unit = np.zeros(trace.labels.count, np.int64)
        for number, family in enumerate(found):
            self._family[family.roots] = number
            self._unit[family.roots] = np.arange(len(family.roots))

    def indices(self, roots: Ids) -> list[tuple[Family, Ids]]:
        """The groups on one axis, each with its [units, per_unit] positions."""
        owner = self._family[roots]
        rows = []
        for number in np.unique(owner[owner >= 0]):
            positions = np.flatnonzero(owner == number)
            order = np.argsort(self._unit[roots[positions]], kind="stable")
            family = self._families[number]
            rows.append((family, positions[order].reshape(len(family.roots), -1)))
        return rows


def _skipped(trace: Trace, found: list[Family]) -> dict[str, str]:
    reasons = trace.labels.reasons()
    known = {int(root) for family in found for root in family.roots}
    skipped = {}
    for maker in trace.makers:
        roots = np.unique(trace.labels.roots(maker.ids)).tolist()
        if not known & set(roots):
            skipped[maker.name] = next((reasons[root] for root in roots if root in reasons), _ALONE)
    initializers = set(trace.model.graph.initializers.values())
    for node in trace.model.graph:
        name = str(node.outputs[0].name)
        if name in trace.unknown and any(value in initializers and len(value.shape or ()) > 1 for value in node.inputs):
            skipped[name] = trace.unknown[name]
    return skipped
