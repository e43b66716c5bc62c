"""Running a model file in a process of its own: to measure its memory, to survive its crash, or to limit its CPU's features."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ...core.errors import RuntimeFailure
from ...core.executor import TensorSpec
from ..inputs import check_inputs, check_threads, entry_bytes
from . import wire


class IsolatedExecutor:
    """An executor whose runtime lives in a child process with `environment` added. Close it when done."""

    def __init__(
        self,
        runtime: str,
        files: Mapping[str, bytes],
        entry: str,
        threads: int,
        environment: Mapping[str, str] | None = None,
        timeout_s: float = 600.0,
    ) -> None:
        """Start the child and load the file there; raises RuntimeFailure."""
        entry_bytes(files, entry)
        check_threads(threads)
        self._timeout_s = timeout_s
        self._folder = tempfile.TemporaryDirectory()
        for name, data in files.items():
            Path(self._folder.name, Path(name).name).write_bytes(data)
        # Not found through the parent's current folder: the child must import the same package.
        search = os.pathsep.join(path for path in sys.path if path)
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.child", runtime, self._folder.name, entry, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": search, **(environment or {})},
        )
        try:
            specs = json.loads(self._reply())
        except BaseException:
            self.close()
            raise
        self.inputs = tuple(TensorSpec.from_json(item) for item in specs["inputs"])
        self.outputs = tuple(TensorSpec.from_json(item) for item in specs["outputs"])

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs by name; raises RuntimeFailure, also when the child has crashed."""
        return wire.unpack(self._ask(wire.RUN, wire.pack(check_inputs(self.inputs, inputs))))

    def rss_growth_bytes(self) -> int:
        """What the peak of the child's resident memory grew by since before the file was loaded."""
        return int(self._ask(wire.MEMORY))

    def close(self) -> None:
        """End the child."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            process.wait()
            self._folder.cleanup()

    def _ask(self, kind: bytes, payload: bytes = b"") -> bytes:
        if self._process is None or self._process.stdin is None:
            raise RuntimeFailure("this executor is closed; load the file again.")
        try:
            wire.send(self._process.stdin.fileno(), kind, payload)
        except wire.BrokenWire as error:
            raise RuntimeFailure(self._ended()) from error
        return self._reply()

    def _reply(self) -> bytes:
        if self._process is None or self._process.stdout is None:
            raise RuntimeFailure("this executor is closed; load the file again.")
        try:
            kind, payload = wire.receive(self._process.stdout.fileno(), self._timeout_s)
        except wire.BrokenWire as error:
            raise RuntimeFailure(self._ended()) from error
        if kind == wire.ERROR:
            raise RuntimeFailure(payload.decode())
        return payload

    def _ended(self) -> str:
        code = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(timeout=1.0)
        self.close()
        if code is None:
            return f"the runtime did not answer within {self._timeout_s:.0f} s; its process was ended."
        how = f"by signal {-code}" if code < 0 else f"with code {code}"
        return f"the runtime's process ended {how} while it handled this file; the file or the runtime is broken."


def peak_memory_bytes(
    runtime: str,
    files: Mapping[str, bytes],
    entry: str,
    threads: int,
    inputs: Mapping[str, NDArray[Any]],
    runs: int = 3,
) -> int:
    """What loading the file and `runs` runs add to the resident memory of a fresh process; raises RuntimeFailure."""
    executor = IsolatedExecutor(runtime, files, entry, threads)
    try:
        for _ in range(runs):
            executor.run(inputs)
        return executor.rss_growth_bytes()
    finally:
        executor.close()
