"""Which group is which after some units of them were removed: told by where they lie, since names and order may change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .places import Group


def follow(before: Sequence[Group], keep: Mapping[str, Sequence[int]], after: Sequence[Group]) -> dict[str, Group | None]:
    """What each group of `before` is among `after`, the groups of the model in which the units of `keep` alone are left.

    By the names of `before`, every group that lost units being among them. None where no group of `after` has just these units:
    they were united with others, or can no longer be removed.
    """
    gone = _gone(before, keep)
    found = {places: group for group in after for places in _makers(group, {})}
    return {
        group.name: next((found[places] for places in _makers(group, gone, keep[group.name]) if places in found), None)
        for group in before
    }


def _gone(groups: Sequence[Group], keep: Mapping[str, Sequence[int]]) -> dict[tuple[str, int], list[int]]:
    """Positions that went, by tensor and axis."""
    gone: dict[tuple[str, int], list[int]] = {}
    for group in groups:
        for place in group.weights:
            lost = np.delete(place.index, np.asarray(keep[group.name], np.int64), axis=0)
            gone.setdefault((place.tensor, place.axis), []).extend(lost.ravel().tolist())
    return gone


def _makers(
    group: Group, gone: Mapping[tuple[str, int], Sequence[int]], units: Sequence[int] | None = None
) -> list[tuple[str, int, tuple[int, ...]]]:
    """Where these units are made: tensor, axis, and their positions after those that went, in the order of the units."""
    found = []
    for place in group.weights:
        if place.role == "makes":
            index = place.index if units is None else place.index[np.asarray(units, np.int64)]
            left = index.ravel() - np.searchsorted(np.sort(gone.get((place.tensor, place.axis), ())), index.ravel())
            found.append((place.tensor, place.axis, tuple(left.tolist())))
    return found
