"""Where the tensors lie in an artifact: the numbers of its model files and test vectors, by name, with their places.

Read without the runtimes' libraries, since only places, types and names matter. A wrong guess makes a patch larger, never
wrong. A member of another format, or one that is not as expected, has no tensors.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from . import tflite_tensors
from .container import ADD_1, ADD_2, ADD_4, ADD_8, NIBBLES
from .onnx_tensors import onnx_tensors

_LOCAL: Final = struct.Struct("<IHHHHHIIIHH")
_SIGNATURE: Final = 0x04034B50
_OPENVINO_KINDS: Final = {
    **dict.fromkeys(("i4", "u4"), NIBBLES),
    **dict.fromkeys(("i8", "u8", "boolean"), ADD_1),
    **dict.fromkeys(("f16", "bf16", "i16", "u16"), ADD_2),
    **dict.fromkeys(("f32", "i32", "u32"), ADD_4),
    **dict.fromkeys(("f64", "i64", "u64"), ADD_8),
}
_NUMPY_KINDS: Final = {1: ADD_1, 2: ADD_2, 4: ADD_4, 8: ADD_8}
_LAYER: Final = re.compile(rb"<layer\b(.*?)</layer>", re.DOTALL)
_NUMPY_HEADER: Final = re.compile(rb"\x93NUMPY\x01\x00(..)\{'descr': '[<|][a-z](\d)'", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Tensor:
    """`length` bytes at `offset` of the artifact, whose items are added as operation `kind` does."""

    name: str
    kind: int
    offset: int
    length: int


def find_tensors(artifact: bytes) -> list[Tensor]:
    """The tensors of an artifact, in order of their places, none overlapping; none for other files."""
    members = dict(_members(artifact))
    found: list[Tensor] = []
    for name, (offset, length) in members.items():
        data = artifact[offset : offset + length]
        try:
            inside = list(_in_member(name, data, artifact, members))
        except (struct.error, IndexError, ValueError):
            continue
        for label, kind, begin, size in inside:
            if size > 0 and 0 <= begin <= length - size:
                found.append(Tensor(f"{name}:{label}", kind, offset + begin, size))
    return _apart(found)


def _members(artifact: bytes) -> Iterator[tuple[str, tuple[int, int]]]:
    """(name, (offset, size)) of each stored member."""
    offset = 0
    while offset + _LOCAL.size <= len(artifact):
        signature, *_, size, _, name_length, extra_length = _LOCAL.unpack_from(artifact, offset)
        if signature != _SIGNATURE:
            return
        begin = offset + _LOCAL.size + name_length + extra_length
        name = artifact[offset + _LOCAL.size : offset + _LOCAL.size + name_length]
        yield name.decode("ascii", "replace"), (begin, size)
        offset = begin + size


def _in_member(
    name: str, data: bytes, artifact: bytes, members: dict[str, tuple[int, int]]
) -> Iterator[tuple[str, int, int, int]]:
    """(name, kind, offset in the member, length) of the tensors of one member."""
    if name.endswith(".onnx"):
        yield from onnx_tensors(data)
    elif name.endswith(".tflite"):
        yield from tflite_tensors.tflite_tensors(data)
    elif name.endswith(".npy"):
        yield from _numpy_tensor(data)
    elif name.endswith(".bin") and (description := members.get(name.removesuffix(".bin") + ".xml")):
        begin, size = description
        yield from _openvino_tensors(artifact[begin : begin + size])


def _numpy_tensor(data: bytes) -> Iterator[tuple[str, int, int, int]]:
    """The array of a .npy file of version 1.0."""
    match = _NUMPY_HEADER.match(data)
    if match and (kind := _NUMPY_KINDS.get(int(match[2]))):
        begin = 10 + int.from_bytes(match[1], "little")
        yield "", kind, begin, len(data) - begin


def _openvino_tensors(description: bytes) -> Iterator[tuple[str, int, int, int]]:
    """The constants that an IR's .xml tells of, with their places in its .bin."""
    for order, layer in enumerate(_LAYER.findall(description)):
        place = {key: re.search(rb'\b%s="([^"]*)"' % key, layer) for key in (b"name", b"element_type", b"offset", b"size")}
        if all(place.values()):
            name, element, offset, size = (match[1].decode() for match in place.values() if match)
            if element in _OPENVINO_KINDS:
                yield f"{name}#{order}", _OPENVINO_KINDS[element], int(offset), int(size)


def _apart(tensors: list[Tensor]) -> list[Tensor]:
    """Those that do not overlap an earlier one: tensors may share their bytes."""
    apart: list[Tensor] = []
    end = 0
    for tensor in sorted(tensors, key=lambda tensor: (tensor.offset, -tensor.length, tensor.name)):
        if tensor.offset >= end:
            apart.append(tensor)
            end = tensor.offset + tensor.length
    return apart
