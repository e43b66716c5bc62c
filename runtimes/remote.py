"""Running model files in child processes: one child a runtime and location, reused, replaced when it dies."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RuntimeFailure
from ..core.executor import Content, TensorSpec, read
from .location import Here, Location

# Of one inference, or of loading; a request may take as many times that as it holds samples.
_SECONDS_PER_RUN = 600.0


class RemoteExecutor:
    """An `Executor` in a child process. `run` takes any number of samples and loops over a fixed batch in the child.

    The child lives at `location`, by default on this machine.
    """

    def __init__(self, runtime: str, threads: int, location: Location | None = None) -> None:
        """Start the child."""
        place = location or Here()
        self.runtime, self.threads = runtime, threads
        self._sees_files = isinstance(place, Here)
        ours, theirs = Pipe()
        self._child = subprocess.Popen(
            place.command(f"{__package__}.worker", str(theirs.fileno())),
            pass_fds=[theirs.fileno()],
            env=place.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        theirs.close()
        self._connection: Connection = ours
        self.inputs: tuple[TensorSpec, ...] = ()
        self.outputs: tuple[TensorSpec, ...] = ()

    def load(self, files: Mapping[str, Content], entry: str) -> RemoteExecutor:
        """Load a file, in the place of the one before; raises RuntimeFailure."""
        given = files if self._sees_files else {name: read(content) for name, content in files.items()}
        self.inputs, self.outputs = self._ask("load", self.runtime, dict(given), entry, self.threads)
        return self

    def unload(self) -> None:
        """Give up the file and its memory; the child stays."""
        self._ask("unload")

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs [n, ...] of inputs [n, ...]; raises RuntimeFailure, also when the child crashed."""
        result: dict[str, NDArray[Any]] = self._ask("run", {name: np.asarray(value) for name, value in inputs.items()})
        return result

    def rss_growth_bytes(self) -> int:
        """What the peak of the child's resident memory grew by since before the file was loaded; raises RuntimeFailure."""
        return int(self._ask("memory"))

    def close(self) -> None:
        """End the child."""
        self._connection.close()
        try:
            self._child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def __enter__(self) -> RemoteExecutor:
        """Close at the end of the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _ask(self, *request: Any) -> Any:
        try:
            self._connection.send(request)
            status, value = "ran", None
            while status == "ran":
                if not self._connection.poll(_SECONDS_PER_RUN):
                    self._child.kill()
                    raise RuntimeFailure(f"{self.runtime} gave no answer within {_SECONDS_PER_RUN:.0f} s; it was ended.")
                status, value = self._connection.recv()
        except (EOFError, OSError) as error:
            code = self._child.wait()
            reason = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise RuntimeFailure(f"{self.runtime} crashed on this model ({reason}); it cannot be released for it.") from error
        if status == "error":
            raise RuntimeFailure(value)
        return value
