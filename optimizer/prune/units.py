"""From labels to units: which sets of positions go together, and which of them form a group."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .labels import Ids
from .places import Kind
from .trace import Grid, Trace


@dataclass(eq=False)
class Family:
    """Units of one group: the root of each, and the partitions among which equal numbers must be kept."""

    name: str
    kind: Kind
    roots: Ids
    partitions: NDArray[np.int64] | None = None


def families(trace: Trace) -> list[Family]:
    """The groups' units, after everything that must form full rows does.

    Where equal numbers in every row would not do, positions one below the other are united, which may unite groups; so it
    is done again until nothing changes.
    """
    while True:
        found = _families(trace)
        misfits = [grid for grid in trace.grids if not _fits(trace, grid, found)]
        if not misfits:
            return found


def _families(trace: Trace) -> list[Family]:
    """Units that one layer makes and that lie on the same axes, as often: so they can take each other's place."""
    frozen = trace.labels.reasons()
    signs = _signatures(trace)
    kinds = {int(root) for ids in trace.heads for root in np.unique(trace.labels.roots(ids))}
    by_root: dict[int, Family] = {}
    found: list[Family] = []
    for maker in trace.makers:
        roots = trace.labels.roots(maker.ids)
        _, first = np.unique(roots, return_index=True)
        named: dict[int, Family] = {}
        for place in np.sort(first):
            root = int(roots[place])
            if root in by_root or root in frozen:
                continue
            family = named.get(int(signs[root]))
            if family is None:
                name = maker.name if not any(other.name == maker.name for other in found) else f"{maker.name}[{place}]"
                family = Family(name, "heads" if root in kinds else maker.kind, np.zeros(0, np.int64))
                named[int(signs[root])] = family
                found.append(family)
            family.roots = np.append(family.roots, root)
            by_root[root] = family
    return found


def _signatures(trace: Trace) -> Ids:
    """A number for each root; it is the same for those that lie on the same spans, at as many positions."""
    signs = np.zeros(trace.labels.count, np.int64)
    used = 1
    for layout in trace.layouts.values():
        for span in layout:
            roots, counts = np.unique(trace.labels.roots(span.ids), return_counts=True)
            kinds = np.unique(np.stack([signs[roots], counts]), axis=1, return_inverse=True)[1].ravel()
            signs[roots] = used + kinds
            used += int(kinds.max()) + 1
    return signs


def _fits(trace: Trace, grid: Grid, found: list[Family]) -> bool:
    """Whether what is left of a grid always forms full rows; if not, make it so and say False."""
    roots = trace.labels.roots(grid.ids)
    if (roots == roots[:1]).all() or (not grid.keeps_rows and (roots == roots[:, :1]).all()):
        return True
    if grid.is_ordered and _partition(grid.ids, roots, found):
        return True
    trace.labels.unite(grid.ids, grid.ids[:1])
    return False


def _partition(ids: Ids, roots: Ids, found: list[Family]) -> bool:
    """Give the groups on a grid partitions by its rows; False where they do not lie in them evenly."""
    rows = np.broadcast_to(np.arange(len(ids))[:, None], roots.shape)
    new: list[tuple[Family, NDArray[np.int64]]] = []
    rest = np.ones(roots.shape, bool)
    for family in found:
        mine = np.isin(roots, family.roots)
        if not mine.any():
            continue
        rest &= ~mine
        row_of = dict(zip(roots[mine].tolist(), rows[mine].tolist(), strict=True))
        pairs = Counter(zip(roots[mine].tolist(), rows[mine].tolist(), strict=True))
        partitions = np.array([row_of.get(int(root), -1) for root in family.roots])
        if len(pairs) != len(row_of) or len(set(pairs.values())) > 1 or (partitions < 0).any():
            return False
        if family.partitions is not None:
            partitions = _refined(family.partitions, partitions)
        if not _is_even(partitions) or not _is_even(rows[mine]) or len(np.unique(rows[mine])) < len(ids):
            return False
        new.append((family, partitions))
    if rest.any() and not (_is_even(rows[rest]) and len(np.unique(rows[rest])) == len(ids)):
        return False
    for family, partitions in new:
        family.partitions = partitions
    return True


def _refined(old: NDArray[np.int64], new: NDArray[np.int64]) -> NDArray[np.int64]:
    """Partitions by both; numbered anew."""
    return np.unique(np.stack([old, new]), axis=1, return_inverse=True)[1].ravel()


def _is_even(numbers: NDArray[np.int64]) -> bool:
    """Whether every number occurs as often."""
    return len(np.unique(np.unique(numbers, return_counts=True)[1])) <= 1
