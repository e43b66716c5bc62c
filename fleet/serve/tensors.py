"""Tensors of the Open Inference Protocol v2: its datatypes, their JSON, and their raw bytes. Pure: values in, arrays out.

Source: the protocol's "Tensor Data" and Triton's binary tensor data extension: row-major, little-endian, a BYTES element is
its length in 4 bytes and its contents. FP16 and BF16 have no JSON form. numpy has no BF16: such a tensor is held as float32,
which widens it exactly.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import unknown
from .refusal import Refusal

MAX_RANK = 16
MAX_ELEMENTS = 1 << 28

_DTYPES: Mapping[str, str] = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
_DATATYPES: Mapping[str, str] = {dtype: datatype for datatype, dtype in _DTYPES.items()}
_OF_ARRAY: Mapping[Any, str] = {np.dtype(dtype): datatype for datatype, dtype in _DTYPES.items()}
_LITTLE: Mapping[str, np.dtype[Any]] = {name: np.dtype(dtype).newbyteorder("<") for name, dtype in _DTYPES.items()}
DATATYPES = frozenset({*_DTYPES, "BF16", "BYTES"})
_BINARY_ONLY = frozenset({"FP16", "BF16"})


def datatype_of(dtype: str) -> str:
    """The protocol's name of a numpy type; an array of objects holds BYTES."""
    return _DATATYPES.get(dtype, "BYTES")


def datatype_in(array: NDArray[Any]) -> str:
    """The protocol's name of an array's type."""
    return _OF_ARRAY.get(array.dtype, "BYTES")


def check_datatype(datatype: Any, where: str) -> str:
    """A known datatype; raises Refusal."""
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise Refusal(400, f"{where}: {unknown('datatype', str(datatype)[:40], DATATYPES)}")
    return datatype


def check_shape(shape: Any, where: str) -> tuple[int, ...]:
    """A shape of bounded rank and number of elements; raises Refusal."""
    whole = isinstance(shape, list) and len(shape) <= MAX_RANK and all(type(size) is int and size >= 0 for size in shape)
    # Each size by itself too: a size of 0 hides any other from the product.
    if not whole or any(size > MAX_ELEMENTS for size in shape) or math.prod(shape) > MAX_ELEMENTS:
        raise Refusal(400, f"{where}: the shape is not a list of at most {MAX_RANK} sizes with {MAX_ELEMENTS} elements in all.")
    return tuple(shape)


def from_json(data: Any, datatype: str, shape: tuple[int, ...], where: str) -> NDArray[Any]:
    """Array of a JSON list, flat or nested, in row-major order; raises Refusal where a value or the number of them is wrong."""
    if datatype in _BINARY_ONLY:
        raise Refusal(400, f"{where}: {datatype} has no JSON form; send it as binary data.")
    if not isinstance(data, list):
        raise Refusal(400, f"{where}: the data are not a list.")
    if datatype == "BYTES":
        return _texts(data, shape, where)
    try:
        array = np.array(data)
        if datatype == "UINT64" and array.dtype.kind == "f":
            # numpy has no integer for values both above and below 2**63, and would round them.
            array = _whole(np.array(data, object), array)
    except (ValueError, OverflowError) as error:
        raise Refusal(400, f"{where}: the data are not numbers in lists of one length.") from error
    if array.shape not in (shape, (math.prod(shape),)) and not (array.size == 0 == math.prod(shape)):
        raise Refusal(400, f"{where}: the data have shape {list(array.shape)}, and {list(shape)} is declared.")
    return _checked(array, np.dtype(_DTYPES[datatype]), where).reshape(shape)


def _whole(exact: NDArray[Any], rounded: NDArray[Any]) -> NDArray[Any]:
    """Integers [...] of Python as uint64, where all are some; else what numpy made of them."""
    is_whole = all(type(value) is int and 0 <= value < 1 << 64 for value in exact.reshape(-1).tolist())
    return exact.astype(np.uint64) if is_whole else rounded


def to_json(array: NDArray[Any], where: str) -> list[Any]:
    """Flat list of an array's values; raises Refusal for what JSON does not carry."""
    if array.dtype.kind == "f":
        if array.dtype == np.float16:
            raise Refusal(400, f"{where}: FP16 has no JSON form; ask for binary data.")
        if not np.isfinite(array).all():
            raise Refusal(400, f"{where} has values that are NaN or infinite, which JSON does not carry; ask for binary data.")
    if array.dtype.kind == "O":
        return [_decoded(item, where) for item in array.reshape(-1).tolist()]
    return array.reshape(-1).tolist()


def from_bytes(data: memoryview, datatype: str, shape: tuple[int, ...], where: str) -> NDArray[Any]:
    """Array of raw bytes, without a copy where numpy has the type and they are aligned; raises Refusal unless they fit."""
    count = math.prod(shape)
    if datatype == "BYTES":
        return _elements(data, count, where).reshape(shape)
    dtype = _LITTLE["UINT16" if datatype == "BF16" else datatype]
    if len(data) != count * dtype.itemsize:
        raise Refusal(400, f"{where}: {len(data)} bytes do not hold {datatype} of shape {list(shape)}.")
    if datatype == "BOOL" and not (np.frombuffer(data, np.uint8) <= 1).all():
        raise Refusal(400, f"{where}: a BOOL is a byte 0 or 1.")
    array = np.frombuffer(data, dtype)
    if not array.flags.aligned:
        array = array.copy()
    if datatype == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return array.reshape(shape)


def to_bytes(array: NDArray[Any], datatype: str | None = None) -> bytes | memoryview:
    """Raw bytes of an array, without a copy where it is contiguous; `datatype` BF16 rounds float32 to nearest even."""
    if array.dtype.kind == "O":
        return b"".join(struct.pack("<I", len(item)) + item for item in array.reshape(-1).tolist())
    if datatype == "BF16":
        bits = np.ascontiguousarray(array, np.float32).view(np.uint32).astype(np.uint64)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        return np.where(np.isnan(array), (bits >> 16) | 0x40, rounded).astype("<u2").tobytes()
    if array.size == 0:
        return b""
    little = np.ascontiguousarray(array, _LITTLE.get(datatype_in(array)))
    return little.reshape(-1).view(np.uint8).data


def _checked(array: NDArray[Any], dtype: np.dtype[Any], where: str) -> NDArray[Any]:
    """`array`, read from JSON, in the declared type where that loses nothing but the precision of floats."""
    if array.size == 0:
        return array.astype(dtype)
    allowed = {"b": "b", "f": "fiu"}.get(dtype.kind, "iu")
    if array.dtype.kind not in allowed:
        raise Refusal(400, f"{where}: the data are not all of the declared datatype {datatype_of(dtype.name)}.")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise Refusal(400, f"{where}: a value lies outside of {datatype_of(dtype.name)}.")
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    if dtype.kind == "f" and not np.isfinite(converted).all():
        raise Refusal(400, f"{where}: a value lies outside of {datatype_of(dtype.name)}.")
    return converted


def _texts(data: Sequence[Any], shape: tuple[int, ...], where: str) -> NDArray[Any]:
    flat: list[Any] = list(data)
    for _ in range(MAX_RANK):
        if not any(isinstance(item, list) for item in flat):
            break
        flat = [inner for item in flat for inner in (item if isinstance(item, list) else [item])]
    if not all(isinstance(item, str) for item in flat) or len(flat) != math.prod(shape):
        raise Refusal(400, f"{where}: BYTES of shape {list(shape)} are {math.prod(shape)} strings.")
    array = np.empty(len(flat), object)
    array[:] = [item.encode("utf-8", "surrogatepass") for item in flat]
    return array.reshape(shape)


def _decoded(item: bytes, where: str) -> str:
    try:
        return item.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(400, f"{where} has bytes that are no UTF-8, which JSON does not carry; ask for binary data.") from error


def _elements(data: memoryview, count: int, where: str) -> NDArray[Any]:
    # Each element takes 4 bytes at least, so that a count is never larger than what was sent.
    if count * 4 > len(data):
        raise Refusal(400, f"{where}: {len(data)} bytes do not hold {count} elements of BYTES.")
    array = np.empty(count, object)
    offset = 0
    for index in range(count):
        size = int.from_bytes(data[offset : offset + 4], "little")
        if offset + 4 + size > len(data):
            raise Refusal(400, f"{where}: element {index} of BYTES is longer than the data.")
        array[index] = bytes(data[offset + 4 : offset + 4 + size])
        offset += 4 + size
    if offset != len(data):
        raise Refusal(400, f"{where}: {len(data) - offset} bytes follow the last element.")
    return array
