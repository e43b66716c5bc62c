"""A child process that loads and runs model files, so that a crash in a kernel ends the child and not the compile.

Started as `python -m edgewright.runtimes.worker HANDLE`; speaks over an inherited connection. Requests are tuples:
("load", runtime, files, entry, threads), ("run", arrays of any number of samples), ("close",). Answers are ("ok", value) or
("error", message).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from ..core.errors import EdgewrightError
from ..core.executor import Executor
from . import registry


def run_samples(executor: Executor, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs [n, ...] of inputs [n, ...], fed in steps of the file's batch size."""
    specs = executor.inputs
    count = len(inputs[specs[0].name])
    sizes = {spec.shape[0] for spec in specs if spec.shape}
    step = next((size for size in sizes if size is not None), None) or max(count, 1)
    parts = [
        executor.run({spec.name: inputs[spec.name][start : start + step] for spec in specs}) for start in range(0, count, step)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def serve(connection: Connection) -> None:
    """Answer requests until the connection closes."""
    executor: Executor | None = None
    while True:
        try:
            kind, *given = connection.recv()
        except EOFError:
            return
        try:
            value: Any = None
            if kind == "load":
                if executor is not None:
                    executor.close()
                    executor = None
                name, files, entry, threads = given
                executor = registry.get(name).load(files, entry, threads)
                value = (executor.inputs, executor.outputs)
            elif kind == "run" and executor is not None:
                value = run_samples(executor, given[0])
            answer: tuple[str, Any] = ("ok", value)
        except EdgewrightError as error:
            answer = ("error", str(error))
        except Exception as error:
            answer = ("error", f"{type(error).__name__}: {error}")
        connection.send(answer)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
