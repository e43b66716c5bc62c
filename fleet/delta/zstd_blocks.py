"""The codec zstd: the new file in blocks, each a frame that may refer to the old file's bytes around the same place.

A block covers 512 KiB; its dictionary is what the old file has from one block before its place to two blocks after. So memory
is bounded whatever the sizes, unlike with one frame over the whole old file. The body is, for each block, u32 length and frame.
Needs the library zstandard on both sides: a publisher makes it only for devices that said they have it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from types import ModuleType
from typing import Final

from ...core.errors import VerificationError
from .container import HEADER_BYTES, Header, Source, broken

_BLOCK_BYTES: Final = 1 << 19
_WINDOW_LOG: Final = 21
_LEVEL: Final = 19


def make(old: bytes, new: bytes) -> bytes:
    """The patch from `old` to `new`."""
    import zstandard

    header = Header("zstd", len(old), len(new), hashlib.sha256(old).hexdigest(), hashlib.sha256(new).hexdigest())
    parts = [header.to_bytes()]
    for offset in range(0, len(new), _BLOCK_BYTES):
        begin, end = _window(offset)
        settings = zstandard.ZstdCompressionParameters.from_level(_LEVEL, window_log=_WINDOW_LOG, enable_ldm=True)
        dictionary = zstandard.ZstdCompressionDict(old[begin:end], dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        frame = zstandard.ZstdCompressor(dict_data=dictionary, compression_params=settings).compress(
            new[offset : offset + _BLOCK_BYTES]
        )
        parts += [len(frame).to_bytes(4, "little"), frame]
    return b"".join(parts)


def pieces(old: Source, patch: Source, header: Header) -> Iterator[bytes]:
    """The blocks of the new file; raises VerificationError for what is no such patch, or where zstandard is missing."""
    library = _library()
    place = HEADER_BYTES
    for offset in range(0, header.new_size, _BLOCK_BYTES):
        length = int.from_bytes(patch.read(place, 4), "little")
        if not 0 < length <= min(2 * _BLOCK_BYTES, patch.size - place - 4):
            raise broken("a block has no possible length")
        begin, end = _window(offset)
        wanted = min(_BLOCK_BYTES, header.new_size - offset)
        yield _block(library, old.read(begin, end - begin), patch.read(place + 4, length), wanted)
        place += 4 + length
    if place != patch.size:
        raise broken("something follows its last block")


def _block(library: ModuleType, around: bytes, frame: bytes, wanted: int) -> bytes:
    try:
        if library.frame_content_size(frame) != wanted:
            raise broken("a block is not as long as it has to be")
        dictionary = library.ZstdCompressionDict(around, dict_type=library.DICT_TYPE_RAWCONTENT)
        unpacker = library.ZstdDecompressor(dict_data=dictionary, max_window_size=1 << _WINDOW_LOG)
        block = unpacker.decompress(frame, max_output_size=wanted)
    except library.ZstdError as error:
        raise broken("a block cannot be unpacked") from error
    return bytes(block)


def _library() -> ModuleType:
    try:
        import zstandard
    except ImportError as error:
        raise VerificationError("the patch needs the library zstandard; install it or fetch the whole artifact.") from error
    return zstandard


def _window(offset: int) -> tuple[int, int]:
    return max(0, offset - _BLOCK_BYTES), offset + 2 * _BLOCK_BYTES
