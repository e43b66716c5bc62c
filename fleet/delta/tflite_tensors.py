"""Where the constants and scales lie in a TFLite file: a walk over the FlatBuffer's tables.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs (order of fields, TensorType), https://flatbuffers.dev/internals.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from .container import ADD_1, ADD_2, ADD_4, ADD_8, NIBBLES

_MODEL_SUBGRAPHS, _MODEL_BUFFERS = 2, 4
_SUBGRAPH_TENSORS: Final = 0
_TENSOR_TYPE, _TENSOR_BUFFER, _TENSOR_NAME, _TENSOR_QUANTIZATION = 1, 2, 3, 4
_BUFFER_DATA: Final = 0
_QUANTIZATION_SCALE: Final = 2
_KINDS: Final = {
    **dict.fromkeys((17, 19), NIBBLES),  # INT4, UINT4
    **dict.fromkeys((3, 6, 9), ADD_1),  # UINT8, BOOL, INT8
    **dict.fromkeys((1, 7, 16, 18), ADD_2),  # FLOAT16, INT16, UINT16, BFLOAT16
    **dict.fromkeys((0, 2, 15), ADD_4),  # FLOAT32, INT32, UINT32
    **dict.fromkeys((4, 10, 12), ADD_8),  # INT64, FLOAT64, UINT64
}


def tflite_tensors(data: bytes) -> Iterator[tuple[str, int, int, int]]:
    """(name, kind, offset, length) of every constant's bytes and every tensor's scales; raises struct.error."""
    model = _follow(data, 0)
    buffers = list(_tables(data, _field(data, model, _MODEL_BUFFERS)))
    for graph in _tables(data, _field(data, model, _MODEL_SUBGRAPHS)):
        for order, tensor in enumerate(_tables(data, _field(data, graph, _SUBGRAPH_TENSORS))):
            name = f"{_text(data, _field(data, tensor, _TENSOR_NAME))}#{order}"
            quantization = _field(data, tensor, _TENSOR_QUANTIZATION)
            if quantization is not None:
                begin, count = _vector(data, _field(data, _follow(data, quantization), _QUANTIZATION_SCALE))
                yield f"{name}/scale", ADD_4, begin, 4 * count
            at = _field(data, tensor, _TENSOR_TYPE)
            kind = _KINDS.get(0 if at is None else data[at])
            at = _field(data, tensor, _TENSOR_BUFFER)
            if kind is not None and at is not None:
                buffer = buffers[_u32(data, at)]
                yield name, kind, *_vector(data, _field(data, buffer, _BUFFER_DATA))


def _field(data: bytes, table: int, index: int) -> int | None:
    """Where a table's field lies, or None when it is left out."""
    vtable = table - int(struct.unpack_from("<i", data, table)[0])
    if 4 + 2 * index >= _u16(data, vtable):
        return None
    offset = _u16(data, vtable + 4 + 2 * index)
    return table + offset if offset else None


def _vector(data: bytes, field: int | None) -> tuple[int, int]:
    """(first element, number of elements) of a vector; nothing when the field is left out."""
    if field is None:
        return 0, 0
    vector = _follow(data, field)
    return vector + 4, _u32(data, vector)


def _tables(data: bytes, field: int | None) -> Iterator[int]:
    begin, count = _vector(data, field)
    for index in range(count):
        yield _follow(data, begin + 4 * index)


def _text(data: bytes, field: int | None) -> str:
    begin, count = _vector(data, field)
    return data[begin : begin + count].decode("utf-8", "replace")


def _follow(data: bytes, at: int) -> int:
    return at + _u32(data, at)


def _u32(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])


def _u16(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<H", data, at)[0])
