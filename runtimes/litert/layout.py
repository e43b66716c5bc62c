"""Layouts as permutations: physical axis i of a tensor in the file holds axis `perm[i]` of the value in the model."""

from __future__ import annotations

from collections.abc import Sequence

Perm = tuple[int, ...]


def identity(rank: int) -> Perm:
    """The model's own layout."""
    return tuple(range(rank))


def channels_last(rank: int) -> Perm:
    """Channels (axis 1) moved to the end: NCHW to NHWC, NCL to NLC."""
    return (0, *range(2, rank), 1) if rank > 2 else identity(rank)


def change(have: Perm, want: Perm) -> Perm:
    """The transposition of physical axes that takes layout `have` to layout `want`."""
    return tuple(have.index(axis) for axis in want)


def apply(shape: Sequence[int], perm: Perm) -> tuple[int, ...]:
    """Shape after transposing by `perm`."""
    return tuple(shape[axis] for axis in perm)


def moves_nothing(shape: Sequence[int], perm: Perm) -> bool:
    """Whether transposing a tensor of that shape leaves its elements in the same order: only axes of size 1 move."""
    kept = [axis for axis in perm if shape[axis] != 1]
    return kept == sorted(kept)


def after_transpose(have: Perm, perm: Perm) -> Perm:
    """Layout of Transpose{perm}(x) when its data stay where they are and x has layout `have`."""
    return tuple(perm.index(axis) for axis in have)


def through_reshape(before: Sequence[int], have: Perm, after: Sequence[int]) -> Perm | None:
    """Layout of a reshaped value whose data stay where they are, or None where the reshape needs the model's own order.

    Works when both shapes agree but for axes of size 1; of the possible layouts the identity is preferred, then channels last.
    """
    real = [axis for axis in range(len(before)) if before[axis] != 1]
    target = [axis for axis in range(len(after)) if after[axis] != 1]
    if [before[axis] for axis in real] != [after[axis] for axis in target]:
        return None
    partner = dict(zip(real, target, strict=True))
    order = [partner[axis] for axis in have if before[axis] != 1]
    rank = len(after)
    for candidate in (identity(rank), channels_last(rank)):
        if [axis for axis in candidate if after[axis] != 1] == order:
            return candidate
    ones = [axis for axis in range(rank) if after[axis] == 1]
    return (*ones, *order)
