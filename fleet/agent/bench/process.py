"""The measuring process as the agent sees it: started, looked at, ended with all that it started. No numpy, no runtime here."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from typing import IO, Any, Protocol

from ....core.child import child_command
from ....core.errors import AgentError

_MAX_TOLD_BYTES = 1 << 20


class Measuring(Protocol):
    """A measuring under way."""

    @property
    def pid(self) -> int:
        """The process that measures, and its session."""
        ...

    def told(self) -> Mapping[str, Any] | None:
        """What it told, once it has ended: `measurement`, or `error`; None while it goes on."""
        ...

    def stop(self) -> None:
        """End it; one that has ended is fine."""
        ...


class Process:
    """A `Measuring` in a session of its own."""

    def __init__(self, order: str) -> None:
        """Start it with an order (`child.Order.text`); raises AgentError where the device has no process for it."""
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `stop`)
        try:
            self._process = subprocess.Popen(
                child_command(f"{__package__}.child", order),
                stdin=subprocess.PIPE,
                stdout=self._said,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            self._said.close()
            raise AgentError(f"the device has no process to measure in ({error.strerror or error}); free memory.") from error

    @property
    def pid(self) -> int:
        """The process that measures, and its session."""
        return self._process.pid

    def told(self) -> Mapping[str, Any] | None:
        """What it told, once it has ended."""
        code = self._process.poll()
        if code is None:
            return None
        self._said.seek(0)
        try:
            found = json.loads(self._said.read(_MAX_TOLD_BYTES))
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            return found
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        return {"error": f"the process that measured ended with {reason} and said nothing; the model may need more memory."}

    def stop(self) -> None:
        """End it and what it started."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._said.close()
