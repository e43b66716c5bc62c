"""Which bytes of the old file the new file's bytes come from: tensors by their names, the rest by matching blocks.

Two files of one model differ in their tensors' values, not in where a name leads. So tensors that both files have, by name, or
else by type and size in order, are subtracted item by item; what lies between is matched by bsdiff's suffix sorting
(C. Percival, Naive differences of executable code, 2003), which is fast because little is left.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .container import ADD_1, INSERT
from .encode import Operation
from .tensors import Tensor, find_tensors

_MAX_SORTED_BYTES: Final = 128 << 20
_SIGN: Final = 1 << 63  # bsdiff writes sign and magnitude


@dataclass(frozen=True, slots=True)
class Span:
    """`length` bytes at `begin` of a file."""

    begin: int
    length: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.begin + self.length


def by_tensors(old: bytes, new: bytes) -> list[Operation] | None:
    """Operations that cover `new`, with tensors subtracted by type; None when the files have no tensor in common."""
    pairs = _pairs(find_tensors(old), find_tensors(new))
    if not pairs:
        return None
    operations = [Operation(after.kind, after.offset, after.length, before.offset) for before, after in pairs]
    rest_old = _between([Span(before.offset, before.length) for before, _ in pairs], len(old))
    rest_new = _between([Span(after.offset, after.length) for _, after in pairs], len(new))
    operations += _by_blocks(old, new, rest_old, rest_new)
    return sorted(operations, key=lambda operation: operation.target)


def by_blocks(old: bytes, new: bytes) -> list[Operation] | None:
    """Operations that cover `new`, matched as bytes; None when the files are too large for the suffix sort."""
    if len(old) + len(new) > _MAX_SORTED_BYTES:
        return None
    return list(_by_blocks(old, new, _between([], len(old)), _between([], len(new))))


def _pairs(old: Sequence[Tensor], new: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Each old tensor with the new one of its name, type and size, else with the next free one of its type and size."""
    named = {(tensor.name, tensor.kind, tensor.length): tensor for tensor in old}
    pairs = []
    free = []
    for tensor in new:
        before = named.pop((tensor.name, tensor.kind, tensor.length), None)
        if before is None:
            free.append(tensor)
        else:
            pairs.append((before, tensor))
    left: defaultdict[tuple[int, int], list[Tensor]] = defaultdict(list)
    for tensor in sorted(named.values(), key=lambda tensor: -tensor.offset):
        left[tensor.kind, tensor.length].append(tensor)
    for tensor in free:
        candidates = left[tensor.kind, tensor.length]
        if candidates:
            pairs.append((candidates.pop(), tensor))
    return pairs


def _between(spans: Sequence[Span], size: int) -> list[Span]:
    """What of a file of `size` bytes lies in none of `spans`."""
    rest, begin = [], 0
    for span in sorted(spans, key=lambda span: span.begin):
        if span.begin > begin:
            rest.append(Span(begin, span.begin - begin))
        begin = span.end
    if size > begin:
        rest.append(Span(begin, size - begin))
    return rest


def _by_blocks(old: bytes, new: bytes, rest_old: Sequence[Span], rest_new: Sequence[Span]) -> Iterator[Operation]:
    """Operations for the bytes of `new` in `rest_new`, from the bytes of `old` in `rest_old`."""
    before = b"".join(old[span.begin : span.end] for span in rest_old)
    after = b"".join(new[span.begin : span.end] for span in rest_new)
    target, starts_new, starts_old = 0, _starts(rest_new), _starts(rest_old)
    for place, length in _matches(before, after):
        done = 0
        for begin, count in _split(rest_new, starts_new, target, length):
            if place is None:
                yield Operation(INSERT, begin, count)
            else:
                here = begin
                for there, part in _split(rest_old, starts_old, place + done, count):
                    yield Operation(ADD_1, here, part, there)
                    here += part
            done += count
        target += length


def _matches(before: bytes, after: bytes) -> Iterator[tuple[int | None, int]]:
    """(place in `before` or None, length) for consecutive pieces of `after`."""
    if not before or len(before) + len(after) > _MAX_SORTED_BYTES:
        yield from [(None, len(after))] if after else []
        return
    import bsdiff4.core  # type: ignore[import-untyped]

    place = 0
    for numbers in struct.iter_unpack("<3Q", bsdiff4.core.diff(before, after)[0]):
        added, inserted, step = (-(number & _SIGN - 1) if number & _SIGN else number for number in numbers)
        if added:
            yield place, added
        if inserted:
            yield None, inserted
        place += added + step


def _starts(spans: Sequence[Span]) -> list[int]:
    """Where each span begins when they are laid end to end."""
    starts, total = [], 0
    for span in spans:
        starts.append(total)
        total += span.length
    return starts


def _split(spans: Sequence[Span], starts: Sequence[int], begin: int, length: int) -> Iterator[tuple[int, int]]:
    """(offset in the file, length) of the pieces of a range of the spans laid end to end."""
    while length:
        index = bisect_right(starts, begin) - 1
        inside = begin - starts[index]
        part = min(length, spans[index].length - inside)
        yield spans[index].begin + inside, part
        begin, length = begin + part, length - part
