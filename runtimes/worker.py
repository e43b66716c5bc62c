"""A child process that loads and runs model files, so that a crash in a kernel ends the child and not the compile.

Started by `RemoteExecutor` with the handle of a connection that it inherits. Requests are tuples:
("load", runtime, files, entry, threads), ("unload",), ("run", arrays of any number of samples), ("memory",): bytes by which
the peak of resident memory grew since before the file was loaded. Answers are ("ok", value) or ("error", message); during
"run" a ("ran", count) goes before them after each run, so that whoever waits can tell many runs from one that never ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from ..core.errors import EdgewrightError
from ..core.executor import Executor
from ..core.freeing import give_back
from ..core.progress import Advance, Silent
from ..core.resident import peak_bytes, reset_peak
from .bench.batches import run_all
from .bench.opening import ModelFile, import_libraries, load_model


class _Told(Silent):
    """Progress that is told over the connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Advance]:
        def tell(units: int, /, said: str | None = None) -> None:
            self._connection.send(("ran", units))

        yield tell


def serve(connection: Connection) -> None:
    """Answer requests until the connection closes."""
    executor: Executor | None = None
    before = 0
    while True:
        try:
            kind, *given = connection.recv()
        except EOFError:
            return
        try:
            value: Any = None
            if kind in ("load", "unload") and executor is not None:
                executor.close()
                executor = None
                give_back()
            if kind == "load":
                name, files, entry, threads = given
                import_libraries(name)
                before = reset_peak()
                executor = load_model(ModelFile(name, files, entry, threads))
                give_back()  # what only loading took, up to four times the file
                value = (executor.inputs, executor.outputs)
            elif kind == "run" and executor is not None:
                value = run_all(executor, given[0], _Told(connection))
            elif kind == "memory":
                value = peak_bytes() - before
            answer: tuple[str, Any] = ("ok", value)
        except EdgewrightError as error:
            answer = ("error", str(error))
        except Exception as error:
            answer = ("error", f"{type(error).__name__}: {error}")
        connection.send(answer)


def main(arguments: Sequence[str]) -> None:
    """The child: `arguments` are the handle of the connection."""
    serve(Connection(int(arguments[0])))
