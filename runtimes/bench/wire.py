"""Messages between a process and its child that runs a model: one letter, a length, bytes; arrays as .npz without pickle."""

from __future__ import annotations

import io
import json
import os
import select
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

RUN, MEMORY, DONE, ERROR = b"R", b"M", b"D", b"E"
_HEADER_BYTES = 9
_MAX_BYTES = 4 << 30


class BrokenWire(Exception):
    """The other side is gone, or did not answer in time."""


def send(handle: int, kind: bytes, payload: bytes = b"") -> None:
    """Write one message; raises BrokenWire."""
    data = memoryview(kind + len(payload).to_bytes(_HEADER_BYTES - 1, "big") + payload)
    try:
        while data:
            data = data[os.write(handle, data) :]
    except OSError as error:
        raise BrokenWire(str(error)) from error


def receive(handle: int, timeout_s: float | None = None) -> tuple[bytes, bytes]:
    """Read one message; raises BrokenWire at the end of the stream, after `timeout_s`, and for an impossible length."""
    end = None if timeout_s is None else time.monotonic() + timeout_s
    header = _exactly(handle, _HEADER_BYTES, end)
    size = int.from_bytes(header[1:], "big")
    if size > _MAX_BYTES:
        raise BrokenWire(f"a message of {size} bytes")
    return header[:1], _exactly(handle, size, end)


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays by name as bytes; names may be any text."""
    buffer = io.BytesIO()
    names = json.dumps(list(arrays)).encode()
    np.savez(buffer, np.frombuffer(names, np.uint8), *arrays.values())
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, NDArray[Any]]:
    """Inverse of `pack`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        names = json.loads(stored["arr_0"].tobytes())
        return {name: stored[f"arr_{index}"] for index, name in enumerate(names, start=1)}


def _exactly(handle: int, size: int, end: float | None) -> bytes:
    pieces = bytearray()
    while len(pieces) < size:
        if end is not None and not select.select([handle], [], [], max(0.0, end - time.monotonic()))[0]:
            raise BrokenWire("no answer in time")
        piece = os.read(handle, min(size - len(pieces), 1 << 20))
        if not piece:
            raise BrokenWire("the stream ended")
        pieces += piece
    return bytes(pieces)
