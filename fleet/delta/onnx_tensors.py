"""Where the initializers lie in an ONNX file: a walk that copies nothing.

Source: onnx.proto (field numbers and TensorProto.DataType).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...core.protobuf import fields, varint
from .container import ADD_1, ADD_2, ADD_4, ADD_8, NIBBLES

_GRAPH: Final = 7
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_ATTRIBUTE: Final = 5
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH = 5, 6
_TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW = 2, 8, 9
_KINDS: Final = {
    **dict.fromkeys((21, 22), NIBBLES),  # UINT4, INT4
    **dict.fromkeys((2, 3, 9), ADD_1),  # UINT8, INT8, BOOL
    **dict.fromkeys((4, 5, 10, 16), ADD_2),  # UINT16, INT16, FLOAT16, BFLOAT16
    **dict.fromkeys((1, 6, 12), ADD_4),  # FLOAT, INT32, UINT32
    **dict.fromkeys((7, 11, 13), ADD_8),  # INT64, DOUBLE, UINT64
}


def onnx_tensors(data: bytes) -> Iterator[tuple[str, int, int, int]]:
    """(name, kind, offset, length) of the raw data of every initializer and constant; raises ValueError, IndexError."""
    for field, begin, end in fields(data, 0, len(data)):
        if field == _GRAPH:
            yield from _in_graph(data, begin, end)


def _in_graph(data: bytes, begin: int, end: int) -> Iterator[tuple[str, int, int, int]]:
    for order, (field, first, last) in enumerate(fields(data, begin, end)):
        if field == _GRAPH_INITIALIZER:
            yield from _tensor(data, first, last, "")
        elif field == _GRAPH_NODE:
            for inner, low, high in fields(data, first, last):
                if inner == _NODE_ATTRIBUTE:
                    yield from _in_attribute(data, low, high, f"node {order}/")


def _in_attribute(data: bytes, begin: int, end: int, prefix: str) -> Iterator[tuple[str, int, int, int]]:
    for field, first, last in fields(data, begin, end):
        if field == _ATTRIBUTE_TENSOR:
            yield from _tensor(data, first, last, prefix)
        elif field == _ATTRIBUTE_GRAPH:
            yield from _in_graph(data, first, last)


def _tensor(data: bytes, begin: int, end: int, prefix: str) -> Iterator[tuple[str, int, int, int]]:
    name, kind, raw = "", None, None
    for field, first, last in fields(data, begin, end):
        if field == _TENSOR_NAME:
            name = data[first:last].decode("utf-8", "replace")
        elif field == _TENSOR_TYPE:
            kind = _KINDS.get(varint(data, first)[0])
        elif field == _TENSOR_RAW:
            raw = first, last - first
    if kind is not None and raw is not None:
        yield prefix + name, kind, *raw
