"""A child process that loads and runs model files, so that a crash in a kernel ends the child and not the compile.

Started as `python -m edgewright.runtimes.worker HANDLE`; speaks over an inherited connection. Requests are tuples:
("load", runtime, files, entry, threads), ("run", arrays of any number of samples), ("close",). Answers are ("ok", value) or
("error", message).
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection
from typing import Any

from ..core.errors import EdgewrightError
from ..core.executor import Executor
from .bench.batches import run_all
from .bench.opening import ModelFile, load_model


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
                executor = load_model(ModelFile(name, files, entry, threads))
                value = (executor.inputs, executor.outputs)
            elif kind == "run" and executor is not None:
                value = run_all(executor, given[0])
            answer: tuple[str, Any] = ("ok", value)
        except EdgewrightError as error:
            answer = ("error", str(error))
        except Exception as error:
            answer = ("error", f"{type(error).__name__}: {error}")
        connection.send(answer)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
