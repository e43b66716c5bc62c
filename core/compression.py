"""How small a file gets when it is sent compressed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

METHOD = "zlib, level 9"
_LEVEL = 9
_PIECE_BYTES = 1 << 20


def compressed_size(data: bytes) -> int:
    """Bytes that `data` take with zlib (RFC 1950) at its highest level: what any device can unpack."""
    return _size([data])


def compressed_size_of_file(path: Path) -> int:
    """Like `compressed_size`, of a file that is read in pieces."""
    with path.open("rb") as file:
        return _size(iter(lambda: file.read(_PIECE_BYTES), b""))


def _size(pieces: Iterable[bytes]) -> int:
    packer = zlib.compressobj(_LEVEL)
    return sum(len(packer.compress(piece)) for piece in pieces) + len(packer.flush())
