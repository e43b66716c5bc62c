"""The process that `fresh_start` starts: open, load, run, tell; as little beside it as can be."""

from __future__ import annotations

import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from ...core.errors import EdgewrightError
from ...core.resident import peak_bytes, reset_peak
from .opening import import_libraries, load_model, open_model

_RUNS = 3


def main(arguments: Sequence[str]) -> None:
    """`arguments`: the handle of the connection, the file, threads, batch.

    Answers are ("ok", None) after the first inference, then ("ok", (its milliseconds, growth and peak of memory in bytes)), or
    ("error", message).
    """
    handle, path, threads, batch = arguments
    connection = Connection(int(handle))
    try:
        model = open_model(Path(path))
        import_libraries(model.runtime)
        peak_before = peak_bytes()
        before = reset_peak()
        executor = load_model(model, int(threads))
        sizes = {spec.name: [(1 if axis else int(batch)) if size is None else size for axis, size in enumerate(spec.shape)]
                 for spec in executor.inputs}  # fmt: skip
        inputs = {spec.name: np.zeros(sizes[spec.name], spec.dtype) for spec in executor.inputs}
        begin = time.perf_counter_ns()
        executor.run(inputs)
        first_ms = (time.perf_counter_ns() - begin) / 1e6
        connection.send(("ok", None))
        for _ in range(_RUNS - 1):
            executor.run(inputs)
        peak = peak_bytes()
        connection.send(("ok", (first_ms, max(peak - before, 0), max(peak, peak_before))))
    except EdgewrightError as error:
        connection.send(("error", str(error)))
