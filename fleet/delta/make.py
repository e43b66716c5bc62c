"""Making patches between two artifacts, on the publisher's side: every codec that fits, the smallest first."""

from __future__ import annotations

from dataclasses import dataclass

from . import zstd_blocks
from .container import Codec
from .encode import encode
from .matching import by_blocks, by_tensors


@dataclass(frozen=True, slots=True)
class Made:
    """A patch and how it was made."""

    codec: Codec
    data: bytes


def make_delta(old: bytes, new: bytes, *, with_zstd: bool) -> list[Made]:
    """Patches from `old` to `new` (whole files), smallest first; the same bytes for the same files and library versions.

    `tensor` is there when both are artifacts with tensors in common, `bsdiff` unless the files are too large for its sort,
    `zstd` on demand, for devices that have the library. The list may be empty; compare with the size of the whole file.
    """
    made: list[Made] = []
    candidates: tuple[Codec, ...] = ("tensor", "bsdiff")
    for codec in candidates:
        operations = by_tensors(old, new) if codec == "tensor" else by_blocks(old, new)
        data = None if operations is None else encode(codec, old, new, operations)
        if data is not None:
            made.append(Made(codec, data))
    if with_zstd:
        made.append(Made("zstd", zstd_blocks.make(old, new)))
    return sorted(made, key=lambda one: len(one.data))
