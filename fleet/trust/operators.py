"""Which sets of operators a model file needs, read from its head without the compiler's libraries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_OPSET_IMPORT = 8  # field of onnx.ModelProto
_DOMAIN, _VERSION = 1, 2  # fields of onnx.OperatorSetIdProto
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers
_LAYER = re.compile(rb'<layer\b[^>]*\bversion="opset([0-9]{1,3})"')


def operator_sets(files: Mapping[str, bytes], entry: str) -> dict[str, int]:
    """Sets and their versions: ONNX domains ("ai.onnx": 17), OpenVINO's newest ("opset": 13); empty where that is not told.

    A file that is broken gives nothing here: the runtime is who judges it.
    """
    data = files[entry]
    if entry.endswith(".onnx"):
        return _onnx(data)
    if entry.endswith(".xml"):
        found = [int(match[1]) for match in _LAYER.finditer(data)]
        return {"opset": max(found)} if found else {}
    return {}


def _onnx(data: bytes) -> dict[str, int]:
    sets: dict[str, int] = {}
    try:
        for number, value in _fields(data):
            if number == _OPSET_IMPORT and isinstance(value, bytes):
                inner = dict(_fields(value))
                domain, version = inner.get(_DOMAIN, b""), inner.get(_VERSION, 0)
                if isinstance(domain, bytes) and isinstance(version, int):
                    sets[domain.decode() or "ai.onnx"] = version
    except (IndexError, ValueError):
        return {}
    return sets


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values of a protocol buffer message; raises IndexError or ValueError where it is broken."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        size, at = _varint(data, at) if kind == _BYTES else ({_FIXED64: 8, _FIXED32: 4}.get(kind, -1), at)
        if size < 0 or at + size > len(data):
            raise ValueError("a field of unknown kind or length")
        if kind == _BYTES:
            # The graph is passed over, not copied.
            yield tag >> 3, data[at : at + size] if size < 1024 else b""
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number that does not end")
