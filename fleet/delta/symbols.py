"""Packing on the publisher's side: for each stream the smallest of the ways that a device can unpack. Deterministic.

Small differences have less than two bits of entropy, and a Huffman code spends at least one on each symbol. So a lane packs
several symbols into a byte before the Huffman code: with 1 bit each (the commonest value or not), 2 bits (three values), 4 bits
(fifteen), what is left over going to the next stage. LZMA is tried beside deflate for what has structure.
"""

from __future__ import annotations

import lzma
import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .container import DEFLATE, LANE_DICTIONARY_BYTES, LZMA, STORED, WIDE_DICTIONARY_BYTES, write_number
from .streams import lzma_filter

Symbols = npt.NDArray[np.uint8]

_CHAINS: Final = ((8,), (4, 8), (2, 4, 8), (1, 2, 4, 8))
_STAGE_BYTES: Final = 32  # what a stage has to save to be worth its stream
_ONE_STAGE: Final = ((8,),)
_STRATEGIES: Final = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE)
_LANE_PROPERTIES: Final = (0, 4, 9 * (2 + 5 * 2))
_WIDE_PROPERTIES: Final = (3, 2 + 9 * (2 + 5 * 2), 0)
_WIDE: Final = {"mode": lzma.MODE_NORMAL, "nice_len": 273, "mf": lzma.MF_BT4, "depth": 0}
_NARROW: Final = {"mode": lzma.MODE_NORMAL, "nice_len": 32, "mf": lzma.MF_BT4, "depth": 8}


@dataclass(frozen=True, slots=True)
class PackedBytes:
    """A packed stream with the bytes by which a head tells of it."""

    told: bytes
    data: bytes

    @property
    def size(self) -> int:
        """Bytes in the patch, without the size's own."""
        return len(self.told) + len(self.data)

    def head(self) -> bytes:
        """What the section's head says of it."""
        return self.told + write_number(len(self.data))


@dataclass(frozen=True, slots=True)
class PackedStage:
    """A packed stage of a lane."""

    bits: int
    alphabet: bytes
    packed: PackedBytes


def pack_wide(data: bytes) -> PackedBytes:
    """The smallest form of a control or insert stream."""
    return _smallest(data, _WIDE_PROPERTIES, _WIDE | {"dict_size": WIDE_DICTIONARY_BYTES})


def pack_lane(symbols: Symbols, *, in_one_stage: bool) -> list[PackedStage]:
    """The stages of a lane's symbols; with `in_one_stage` the bytes as they are, packed."""
    chains = [_stages(symbols, widths) for widths in (_ONE_STAGE if in_one_stage else _CHAINS)]
    best = min(chains, key=lambda chain: sum(_STAGE_BYTES + len(alphabet) + _estimate(data) for _, alphabet, data in chain))
    settings = _NARROW | {"dict_size": LANE_DICTIONARY_BYTES}
    return [PackedStage(bits, alphabet, _smallest(data, _LANE_PROPERTIES, settings)) for bits, alphabet, data in best]


def _stages(symbols: Symbols, widths: tuple[int, ...]) -> list[tuple[int, bytes, bytes]]:
    """(bits, alphabet, bytes) of each stage; the last one holds whole symbols."""
    stages = []
    for bits in widths:
        if bits == 8:
            stages.append((8, b"", symbols.tobytes()))
            break
        escape = (1 << bits) - 1
        counts = np.bincount(symbols, minlength=256)
        common = np.argsort(-counts, kind="stable")[:escape]
        codes = np.full(256, escape, np.uint8)
        codes[common] = np.arange(escape)
        coded = codes[symbols]
        stages.append((bits, common.astype(np.uint8).tobytes(), _join(coded, bits)))
        symbols = symbols[coded == escape]
    return stages


def _join(codes: Symbols, bits: int) -> bytes:
    """Codes of `bits` bits, most significant first, the last byte filled with code 0."""
    each = 8 // bits
    padded = np.concatenate([codes, np.zeros(-len(codes) % each, np.uint8)]).reshape(-1, each)
    out = np.zeros(len(padded), np.uint8)
    for column in range(each):
        out = out << np.uint8(bits) | padded[:, column]
    return out.tobytes()


def _estimate(data: bytes) -> int:
    """Bytes that `data` take with the two cheapest ways to pack them."""
    return min(len(_deflate(data, strategy)) for strategy in (zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE))


def _smallest(data: bytes, properties: tuple[int, ...], settings: dict[str, Any]) -> PackedBytes:
    """The smallest way to pack `data`; among equals the one that is cheapest to unpack."""
    ways = [PackedBytes(bytes((STORED,)), data)]
    if data:
        ways += [PackedBytes(bytes((DEFLATE,)), _deflate(data, strategy)) for strategy in _STRATEGIES]
        for prop in properties:
            chosen = settings | lzma_filter(prop, settings["dict_size"])
            ways.append(PackedBytes(bytes((LZMA, prop)), lzma.compress(data, lzma.FORMAT_RAW, filters=[chosen])))
    return min(ways, key=lambda way: way.size)


def _deflate(data: bytes, strategy: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, strategy)
    return packer.compress(data) + packer.flush()
