"""Which sets of operators a model file needs, read from its head without the compiler's libraries."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...core.protobuf import fields, varint

_OPSET_IMPORT = 8  # field of onnx.ModelProto
_DOMAIN, _VERSION = 1, 2  # fields of onnx.OperatorSetIdProto
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
        for number, begin, end in fields(data, 0, len(data)):
            if number == _OPSET_IMPORT:
                inner = {field: (first, last) for field, first, last in fields(data, begin, end)}
                domain = data[slice(*inner.get(_DOMAIN, (0, 0)))].decode()
                sets[domain or "ai.onnx"] = varint(data, inner[_VERSION][0])[0] if _VERSION in inner else 0
    except (IndexError, ValueError):
        return {}
    return sets
