"""Unpacking the streams of a section piece by piece: what a patch claims never decides how much memory is used.

A stream gives exactly the bytes that it is asked for or raises VerificationError. A lane gives symbols (bytes) from a chain of
stages: a stage packs the few commonest symbols into 1, 2 or 4 bits and passes the rest on, so that a static Huffman code over
its bytes comes within some percent of the entropy.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Sequence
from typing import Final, Protocol

from .container import DEFLATE, LZMA, Packed, Source, Stage, broken

_INPUT_BYTES: Final = 4096
_OUTPUT_BYTES: Final = 1 << 14
_SINGLES: Final = tuple(bytes((value,)) for value in range(256))


class Stream:
    """The unpacked bytes of one packed stream, in order."""

    def __init__(self, patch: Source, packed: Packed, dictionary_bytes: int) -> None:
        """Opens nothing yet: a stream that is not read costs nothing. `dictionary_bytes` is what LZMA may look back."""
        self._patch, self._packed, self._dictionary = patch, packed, dictionary_bytes
        self._at, self._end = packed.offset, packed.offset + packed.size
        self._ready = bytearray()
        self._decoder: _Decoder | None = None

    def read(self, count: int) -> bytes:
        """The next `count` bytes; raises VerificationError when there are fewer."""
        while len(self._ready) < count:
            self._ready += self._more()
        out = bytes(self._ready[:count])
        del self._ready[:count]
        return out

    def byte(self) -> int:
        """The next byte."""
        return self.read(1)[0]

    def _more(self) -> bytes:
        if self._decoder is None:
            self._decoder = _decoder(self._packed, self._dictionary)
        wants = self._decoder.wants_input
        data = self._patch.read(self._at, min(_INPUT_BYTES, self._end - self._at)) if wants else b""
        self._at += len(data)
        try:
            out = self._decoder.unpack(data)
        except (zlib.error, lzma.LZMAError) as error:
            raise broken("a stream cannot be unpacked") from error
        if wants and not data and not out:
            raise broken("a stream ends too early")
        return out


class _Decoder(Protocol):
    @property
    def wants_input(self) -> bool: ...
    def unpack(self, data: bytes) -> bytes: ...


class _Stored:
    wants_input = True

    def unpack(self, data: bytes) -> bytes:
        return data


class _Deflate:
    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=-15)
        self._is_full = False

    @property
    def wants_input(self) -> bool:
        return self._inflate.eof or not (self._inflate.unconsumed_tail or self._is_full)

    def unpack(self, data: bytes) -> bytes:
        if self._inflate.eof:
            return b""
        out = self._inflate.decompress(self._inflate.unconsumed_tail + data, _OUTPUT_BYTES)
        self._is_full = len(out) == _OUTPUT_BYTES
        return out


class _Lzma:
    def __init__(self, prop: int, dictionary_bytes: int) -> None:
        self._lzma = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[lzma_filter(prop, dictionary_bytes)])

    @property
    def wants_input(self) -> bool:
        return self._lzma.needs_input or self._lzma.eof

    def unpack(self, data: bytes) -> bytes:
        return b"" if self._lzma.eof else self._lzma.decompress(data, _OUTPUT_BYTES)


def lzma_filter(prop: int, dictionary_bytes: int) -> dict[str, int]:
    """The raw LZMA filter with property lc + 9 * (lp + 5 * pb)."""
    places, lc = divmod(prop, 9)
    pb, lp = divmod(places, 5)
    return {"id": lzma.FILTER_LZMA1, "dict_size": dictionary_bytes, "lc": lc, "lp": lp, "pb": pb}


def _decoder(packed: Packed, dictionary_bytes: int) -> _Decoder:
    if packed.coder == DEFLATE:
        return _Deflate()
    if packed.coder != LZMA:
        return _Stored()
    try:
        return _Lzma(packed.property, dictionary_bytes)
    except (lzma.LZMAError, ValueError) as error:
        raise broken("a stream is packed with a property that LZMA does not have") from error


class Lane:
    """Symbols of one lane, in order."""

    def __init__(self, patch: Source, stages: Sequence[Stage], dictionary_bytes: int) -> None:
        """`stages` as `container` read them: the last one has 8 bits."""
        stage = stages[0]
        self._stream = Stream(patch, stage.packed, dictionary_bytes)
        self._bits = stage.bits
        self._next = Lane(patch, stages[1:], dictionary_bytes) if len(stages) > 1 else None
        self._held = b""
        self._escape = b""
        self._symbols: tuple[bytes, ...] = ()
        if self._next is not None:
            self._escape = _SINGLES[next(value for value in range(256) if value not in stage.alphabet)]
            self._symbols = _expansions(stage.bits, stage.alphabet + self._escape)

    def read(self, count: int) -> bytes:
        """The next `count` symbols; raises VerificationError when there are fewer."""
        if self._next is None:
            return self._stream.read(count)
        missing = count - len(self._held)
        if missing > 0:
            packed = self._stream.read(-(-missing * self._bits // 8))
            self._held += b"".join(map(self._symbols.__getitem__, packed))
        symbols, self._held = self._held[:count], self._held[count:]
        pieces = symbols.split(self._escape)
        if len(pieces) == 1:
            return symbols
        mixed = [b""] * (2 * len(pieces) - 1)
        mixed[0::2] = pieces
        mixed[1::2] = map(_SINGLES.__getitem__, self._next.read(len(pieces) - 1))
        return b"".join(mixed)


def _expansions(bits: int, alphabet: bytes) -> tuple[bytes, ...]:
    """For each byte the 8 / bits symbols that are packed in it."""
    shifts = range(8 - bits, -1, -bits)
    return tuple(bytes(alphabet[byte >> shift & (1 << bits) - 1] for shift in shifts) for byte in range(256))
