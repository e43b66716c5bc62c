"""The memory that a model file takes, as the growth of a fresh process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from ...core.executor import Content
from ..remote import RemoteExecutor


def peak_memory_bytes(
    runtime: str,
    files: Mapping[str, Content],
    entry: str,
    threads: int,
    inputs: Mapping[str, NDArray[Any]],
    runs: int = 3,
) -> int:
    """What loading the file and `runs` runs add to the resident memory of a fresh process; raises RuntimeFailure.

    The runtime's libraries are loaded before, and the file's bytes received: what counts is what the model needs.
    """
    with RemoteExecutor(runtime, threads) as executor:
        executor.load(files, entry)
        for _ in range(runs):
            executor.run(inputs)
        return executor.rss_growth_bytes()
