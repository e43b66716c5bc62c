"""Folders of files, one folder a class: the classes are the sorted names, and a folder below a class is its files' group."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError


@dataclass(frozen=True)
class Listing:
    """Files under `root` in sorted order, as paths relative to it, and what their folders say."""

    root: Path
    files: tuple[str, ...]
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    groups: tuple[str, ...] | None

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """`file`, and `group` where there are groups."""
        return ("file",) if self.groups is None else ("file", "group")

    @property
    def record_columns(self) -> tuple[str, ...]:
        """The columns that are content: a file's name is not."""
        return self.columns[1:]

    def labels_at(self, indices: Sequence[int]) -> NDArray[Any]:
        """Labels [k]; raises DataError where the files lie in no class."""
        if self.labels is None:
            raise DataError(f"{self.root} has no labels; put the files of each class into a folder of its own.")
        return self.labels[np.asarray(indices, np.intp)]

    def columns_at(self, names: Sequence[str], indices: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Columns [k] by name."""
        known = {"file": self.files, "group": self.groups or ()}
        return {name: np.array([known[name][index] for index in indices], np.str_) for name in names}


def list_folder(root: Path, suffixes: frozenset[str]) -> Listing:
    """Files under `root` that end in one of `suffixes`; hidden ones and others are passed over.

    Raises DataError where there are none, or where files lie both in classes and beside them.
    """
    found: list[tuple[str, ...]] = []
    try:
        for folder, below, names in os.walk(root):
            below[:] = sorted(name for name in below if not name.startswith("."))
            parts = Path(folder).relative_to(root).parts
            found += [(*parts, n) for n in names if not n.startswith(".") and Path(n).suffix.lower() in suffixes]
    except OSError as error:
        raise DataError(f"cannot read {root}: {error.strerror or error}; check the folder.") from error
    if not found:
        raise DataError(f"{root} holds no {' or '.join(sorted(suffixes))} file; give one folder a class, or another folder.")
    found.sort()
    depths = {len(parts) for parts in found}
    files = tuple("/".join(parts) for parts in found)
    if depths == {1}:
        return Listing(root, files, None, (), None)
    if len(depths) > 1 or max(depths) > 3:
        raise DataError(f"{root} has files at different depths; put each into CLASS/ or each into CLASS/GROUP/.")
    classes = tuple(sorted({parts[0] for parts in found}))
    place = {name: index for index, name in enumerate(classes)}
    labels = np.array([place[parts[0]] for parts in found], np.int64)
    groups = tuple(parts[1] for parts in found) if depths == {3} else None
    return Listing(root, files, labels, classes, groups)


def holds(root: Path, suffixes: frozenset[str]) -> bool:
    """Whether any file under `root` ends in one of `suffixes`."""
    for _, below, names in os.walk(root):
        below[:] = [name for name in below if not name.startswith(".")]
        if any(not name.startswith(".") and Path(name).suffix.lower() in suffixes for name in names):
            return True
    return False
