"""Arrays as .npy members: one spelling of the header, whatever numpy wrote it, and no pickles.

Source: numpy, NEP 1, "A Simple File Format for NumPy Arrays", version 1.0.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from .errors import ArtifactError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_RANK = 8

_MAGIC = b"\x93NUMPY\x01\x00"
_CODES = {
    "bool": "|b1",
    "int8": "|i1",
    "uint8": "|u1",
    "int16": "<i2",
    "uint16": "<u2",
    "int32": "<i4",
    "uint32": "<u4",
    "int64": "<i8",
    "uint64": "<u8",
    "float16": "<f2",
    "float32": "<f4",
    "float64": "<f8",
}
DTYPES = frozenset(_CODES)
_NAMES = {code: name for name, code in _CODES.items()}
_HEADER = re.compile(
    r"\{'descr': '(?P<code>[|<][biuf][1248])', 'fortran_order': False, 'shape': \((?P<shape>[0-9, ]*)\), \} *\n"
)


def encode(array: NDArray[Any], where: str) -> bytes:
    """`array` as .npy bytes, C order; raises ArtifactError for a type or rank that is not stored."""
    import numpy as np

    if array.dtype.name not in _CODES or array.ndim > MAX_RANK:
        raise ArtifactError(
            f"{where} is {array.dtype.name} of rank {array.ndim}; test vectors hold numbers of rank <= {MAX_RANK}."
        )
    code = _CODES[array.dtype.name]
    return _header(code, array.shape) + np.ascontiguousarray(array, dtype=np.dtype(code)).tobytes()


def decode(data: bytes, where: str) -> NDArray[Any]:
    """Read-only array of .npy bytes without a copy; raises ArtifactError unless `encode` could have written them."""
    import numpy as np

    length = int.from_bytes(data[8:10], "little")
    header = data[10 : 10 + length]
    match = _HEADER.fullmatch(header.decode("latin-1"))
    if data[:8] != _MAGIC or match is None or match["code"] not in _NAMES:
        raise ArtifactError(f"{where} is not an array as this format stores it; fetch or compile the artifact again.")
    shape = tuple(int(size) for size in re.findall(r"[0-9]{1,18}", match["shape"]))
    dtype = np.dtype(match["code"])
    content = data[10 + length :]
    if (
        len(shape) > MAX_RANK
        or math.prod(shape) * dtype.itemsize != len(content)
        or data[: 10 + length] != _header(match["code"], shape)
    ):
        raise ArtifactError(f"{where} has a header that does not fit its {len(content)} bytes.")
    return np.frombuffer(content, dtype).reshape(shape)


def _header(code: str, shape: tuple[int, ...]) -> bytes:
    """The header padded with spaces to a multiple of 64 bytes, as NEP 1 asks."""
    text = f"{{'descr': '{code}', 'fortran_order': False, 'shape': {shape!r}, }}"
    padding = -(len(_MAGIC) + 2 + len(text) + 1) % 64
    header = text.encode("ascii") + b" " * padding + b"\n"
    return _MAGIC + len(header).to_bytes(2, "little") + header
