"""From a list of operations to a patch, on the publisher's side: differences into lanes, lanes into sections.

Long operations stand in sections of their own, so that each tensor's differences get the code that suits them; short ones
share one. Where one section for all of a small file is smaller, that is taken.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .container import (
    ADD_1,
    COPY,
    INSERT,
    LANE_KINDS,
    MAX_OPERATIONS,
    MAX_STREAMS,
    NIBBLES,
    Codec,
    Header,
    write_number,
)
from .symbols import PackedStage, Symbols, pack_lane, pack_wide

_OWN_SECTION_BYTES: Final = 8192
_ONE_SECTION_BYTES: Final = 1 << 20
_WORTH_COUNTING_BYTES: Final = 256  # of fewer, the counts say little


@dataclass(frozen=True, slots=True)
class Operation:
    """`length` bytes of the new file at `target`: new ones, or the old file's at `place` with or without a difference."""

    kind: int
    target: int
    length: int
    place: int = 0


def encode(codec: Codec, old: bytes, new: bytes, operations: Sequence[Operation]) -> bytes | None:
    """The patch that carries out `operations`, which cover `new` in order; None when there are more than a device accepts."""
    if len(operations) > MAX_OPERATIONS:
        return None
    digests = hashlib.sha256(old).hexdigest(), hashlib.sha256(new).hexdigest()
    header = Header(codec, len(old), len(new), *digests).to_bytes()
    ready = [_cheapest(operation, old, new) for operation in operations]
    bodies = [b"".join(_section(group, old, new) for group in _groups(ready))]
    if 0 < len(new) <= _ONE_SECTION_BYTES:
        bodies.append(_section(ready, old, new))
    return header + min(bodies, key=len)


def _cheapest(operation: Operation, old: bytes, new: bytes) -> Operation:
    """A copy where nothing differs; new bytes where the difference is no simpler than they are; else what it is.

    Items become bytes where the length is no multiple of theirs.
    """
    kind, target, length, place = operation.kind, operation.target, operation.length, operation.place
    if kind != INSERT and old[place : place + length] == new[target : target + length]:
        return Operation(COPY, target, length, place)
    if kind in LANE_KINDS and length % max(LANE_KINDS[kind], 1):
        operation = Operation(ADD_1, target, length, place)
    if kind != INSERT and length >= _WORTH_COUNTING_BYTES:
        differences = _symbols(operation, old, new).values()
        if sum(map(_entropy_bits, differences)) >= _entropy_bits(np.frombuffer(new, np.uint8, length, target)):
            return Operation(INSERT, target, length)
    return operation


def _entropy_bits(symbols: Symbols) -> float:
    """Bits that the symbols take with a static code."""
    counts = np.bincount(symbols)
    counts = counts[counts > 0]
    return float(-(counts * np.log2(counts / len(symbols))).sum())


def _groups(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    """Operations by section: a long one that is no copy alone, what lies between together."""
    group: list[Operation] = []
    for operation in operations:
        if operation.kind != COPY and operation.length >= _OWN_SECTION_BYTES:
            if group:
                yield group
            yield [operation]
            group = []
        else:
            group.append(operation)
    if group:
        yield group


def _section(operations: Sequence[Operation], old: bytes, new: bytes) -> bytes:
    control, insert = bytearray(), bytearray()
    lanes: defaultdict[tuple[int, int], list[Symbols]] = defaultdict(list)
    place = 0
    for operation in operations:
        control += write_number(operation.length << 3 | operation.kind)
        if operation.kind == INSERT:
            insert += new[operation.target : operation.target + operation.length]
            continue
        step = operation.place - place
        control += write_number(step << 1 if step >= 0 else (-step << 1) - 1)
        place = operation.place + operation.length
        if operation.kind != COPY:
            for lane, symbols in _symbols(operation, old, new).items():
                lanes[lane].append(symbols)
    joined = {lane: np.concatenate(parts) for lane, parts in sorted(lanes.items())}
    joined = {lane: symbols for lane, symbols in joined.items() if lane[1] == 0 or symbols.any()}
    packed = {lane: pack_lane(symbols, in_one_stage=False) for lane, symbols in joined.items()}
    if 2 + sum(map(len, packed.values())) > MAX_STREAMS:
        packed = {lane: pack_lane(symbols, in_one_stage=True) for lane, symbols in joined.items()}
    return _written(sum(operation.length for operation in operations), bytes(control), bytes(insert), packed)


def _written(produces: int, control: bytes, insert: bytes, lanes: dict[tuple[int, int], list[PackedStage]]) -> bytes:
    streams = [pack_wide(control), pack_wide(insert)]
    head = write_number(produces) + b"".join(stream.head() for stream in streams) + write_number(len(lanes))
    for lane, stages in lanes.items():
        head += bytes(lane) + write_number(len(stages))
        for stage in stages:
            head += bytes((stage.bits,)) + stage.alphabet + stage.packed.head()
            streams.append(stage.packed)
    return len(head).to_bytes(2, "little") + head + b"".join(stream.data for stream in streams)


def _symbols(operation: Operation, old: bytes, new: bytes) -> dict[tuple[int, int], Symbols]:
    """The differences of one operation by lane, as `apply` wants them."""
    item = LANE_KINDS[operation.kind]
    before = _items(old, operation.place, operation.length, item)
    after = _items(new, operation.target, operation.length, item)
    if operation.kind == NIBBLES:
        low, high = after - before & 0x0F, (after >> 4) - (before >> 4) & 0x0F
        return {(0, 0): np.stack([low, high], axis=1).reshape(-1).astype(np.uint8)}
    difference = after - before
    if operation.kind == ADD_1:
        return {(1, 0): difference}
    signs = (difference >> (8 * item - 1)).astype(difference.dtype)
    folded = (difference << 1) ^ (~signs + 1)
    planes = folded.astype(f"<u{item}").view(np.uint8).reshape(-1, item)
    return {(item, plane): np.ascontiguousarray(planes[:, plane]) for plane in range(item)}


def _items(data: bytes, place: int, length: int, item: int) -> npt.NDArray[Any]:
    return np.frombuffer(data, f"<u{max(item, 1)}", length // max(item, 1), place)
