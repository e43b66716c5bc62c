"""Labels of positions: which positions, on whatever axes, are one and the same channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ids = NDArray[np.int64]

FIXED = 0
"""Label of every position that can never go, such as the padding of channels."""


class Labels:
    """A union-find over labels. Positions whose labels are united go together, or stay together."""

    def __init__(self) -> None:
        """Know the label `FIXED` alone."""
        self._parent: Ids = np.zeros(1, np.int64)
        self._used = 1
        self._frozen: list[tuple[Ids, str]] = [(np.zeros(1, np.int64), "")]

    @property
    def count(self) -> int:
        """How many labels there are; all are smaller."""
        return self._used

    def fresh(self, count: int) -> Ids:
        """[count] labels that nothing else has."""
        first, self._used = self._used, self._used + count
        if self._used > len(self._parent):
            self._parent = np.concatenate([self._parent, np.arange(len(self._parent), 2 * self._used)])
        return np.arange(first, self._used)

    def roots(self, ids: Ids) -> Ids:
        """One label for each set of united ones, in the shape of `ids`."""
        found = self._parent[ids]
        while True:
            further = self._parent[found]
            if np.array_equal(found, further):
                return found
            found = further

    def unite(self, left: ArrayLike, right: ArrayLike) -> None:
        """Unite labels place by place; the two are broadcast against each other."""
        a, b = (array.ravel() for array in np.broadcast_arrays(np.asarray(left, np.int64), np.asarray(right, np.int64)))
        while True:
            a, b = self.roots(a), self.roots(b)
            differ = a != b
            if not differ.any():
                return
            a, b = a[differ], b[differ]
            # Of several writes to one place the last stays; the next round unites what it left out. A parent is always
            # smaller than its children, so that no cycle can come to be.
            self._parent[np.maximum(a, b)] = np.minimum(a, b)

    def freeze(self, ids: Ids, reason: str) -> None:
        """Say why these positions can never go; of several reasons the first is told."""
        self._frozen.append((np.unique(ids), reason))

    def reasons(self) -> dict[int, str]:
        """The reason of every frozen root."""
        found: dict[int, str] = {}
        for ids, reason in self._frozen:
            for root in np.unique(self.roots(ids)):
                found.setdefault(int(root), reason)
        return found

    def are_alone(self, ids: Ids) -> bool:
        """Whether nothing was united with any of these labels yet."""
        every = self.roots(np.arange(self._used))
        return bool(np.isin(every, self.roots(ids)).sum() == np.unique(ids).size)
