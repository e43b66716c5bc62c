"""What a candidate's files weigh when they are sent compressed, which takes seconds for large ones: kept in the step store."""

from __future__ import annotations

from ..core.compression import METHOD, compressed_size_of_file
from ..core.store import StepStore
from .build import Built


def compressed_bytes(store: StepStore, built: Built) -> int:
    """Bytes that all files of `built` take, each compressed by itself; raises StoreError."""
    key = store.key("compressed", files=built.digest, method=METHOD)
    return int(store.json_step(key, lambda: sum(compressed_size_of_file(file) for file in built.files.values())))
