"""A walk over the fields of a protocol buffer message that copies nothing and needs no library.

Source: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5  # wire types
_MOST_VARINT_BYTES = 10


def fields(data: bytes, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, first byte, end) of the contents of each field of the message in data[begin:end].

    Raises ValueError or IndexError where it is broken.
    """
    at = begin
    while at < end:
        tag, at = varint(data, at)
        wire = tag & 7
        if wire == _VARINT:
            after = varint(data, at)[1]
        elif wire == _BYTES:
            length, at = varint(data, at)
            after = at + length
        elif wire in (_FIXED_32, _FIXED_64):
            after = at + (4 if wire == _FIXED_32 else 8)
        else:
            raise ValueError(f"wire type {wire}")
        if after > end:
            raise ValueError("a field passes the end of its message")
        yield tag >> 3, at, after
        at = after


def varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, place behind it) of the number at `at`; raises ValueError or IndexError where it does not end."""
    value = 0
    for place in range(_MOST_VARINT_BYTES):
        part = data[at + place]
        value |= (part & 0x7F) << 7 * place
        if part < 0x80:
            return value, at + place + 1
    raise ValueError("a number that does not end")
