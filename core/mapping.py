"""Arrays that lie in a file without a name: they take memory only while somebody looks at them.

The file is gone from its folder at once, and from the disk with the last of its arrays.
"""

from __future__ import annotations

import mmap
import tempfile
import threading
from collections.abc import Sequence
from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from .spool import no_scratch

_ALIGNED = 64  # bytes: what vector instructions like best
_MAPPED: WeakSet[mmap.mmap] = WeakSet()
_LOCK = threading.Lock()


def mapped(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """The same arrays, read-only, in a file. One after the other is read, so that each may be made when it is asked for.

    Raises StoreError when the disk refuses.
    """
    places = []
    try:
        with tempfile.TemporaryFile(prefix="edgewright-") as file:
            for array in arrays:
                file.write(bytes(-file.tell() % _ALIGNED))
                places.append((file.tell(), array.dtype, array.shape))
                file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
            file.write(b"\0")  # of nothing there is no mapping
            file.flush()
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise no_scratch(error) from error
    with _LOCK:
        _MAPPED.add(mapping)
    counts = (int(np.prod(shape, dtype=np.int64)) for _, _, shape in places)
    return [
        np.frombuffer(mapping, dtype, count, place).reshape(shape)
        for (place, dtype, shape), count in zip(places, counts, strict=True)
    ]


def is_mapped(array: Any) -> bool:
    """Whether an array lies in such a file."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, memoryview) and isinstance(array.obj, mmap.mmap)


def forget_pages() -> None:
    """Let go of what was read of mapped arrays; it is read again when somebody looks."""
    with _LOCK:
        for mapping in list(_MAPPED) if hasattr(mmap, "MADV_DONTNEED") else ():
            mapping.madvise(mmap.MADV_DONTNEED)
