"""Arithmetic on many small integers at once, as one large Python integer: fast without numpy, exact on any device.

A chunk of bytes is read as one little-endian integer. Additions stay inside their lanes when the top bits are added apart,
without carry (SIMD within a register; H. S. Warren, Hacker's Delight, 2nd edition, section 2-18).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache


@lru_cache(maxsize=64)
def _repeated(pattern: bytes, length: int) -> int:
    """The integer whose `length` bytes repeat `pattern`."""
    return int.from_bytes(pattern * (length // len(pattern)), "little")


def add(old: bytes, difference: bytes, item: int) -> bytes:
    """old + difference, modulo 2**(8 * item) for each little-endian item of `item` bytes; both have the same length."""
    return _add(old, difference, b"\x00" * (item - 1) + b"\x80")


def add_nibbles(old: bytes, difference: bytes) -> bytes:
    """old + difference, modulo 16 for each half of a byte."""
    return _add(old, difference, b"\x88")


def _add(old: bytes, difference: bytes, tops: bytes) -> bytes:
    length = len(old)
    top = _repeated(tops, length)
    a, b = int.from_bytes(old, "little"), int.from_bytes(difference, "little")
    rest = _repeated(b"\xff", length) ^ top
    return (((a & rest) + (b & rest)) ^ ((a ^ b) & top)).to_bytes(length, "little")


def join_nibbles(symbols: bytes) -> bytes:
    """Bytes whose low half is symbols[0], high half symbols[1], and so on; of each symbol the low four bits count."""
    length = len(symbols) // 2
    low = int.from_bytes(symbols[0::2], "little") & _repeated(b"\x0f", length)
    high = int.from_bytes(symbols[1::2], "little") & _repeated(b"\x0f", length)
    return (low | high << 4).to_bytes(length, "little")


def join_planes(planes: Sequence[bytes]) -> bytes:
    """Differences from their byte planes, lowest byte first: zigzag items (0, -1, 1, -2...) back to two's complement."""
    item = len(planes)
    mixed = bytearray(item * len(planes[0]))
    for place, plane in enumerate(planes):
        mixed[place::item] = plane
    length = len(mixed)
    folded = int.from_bytes(mixed, "little")
    signs = folded & _repeated(b"\x01" + b"\x00" * (item - 1), length)
    tops = _repeated(b"\x00" * (item - 1) + b"\x80", length)
    halves = (folded >> 1) & (_repeated(b"\xff", length) ^ tops)
    return (halves ^ ((signs << 8 * item) - signs)).to_bytes(length, "little")
