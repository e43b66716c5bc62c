"""Starting a model in processes of its own: cold start, first inference, memory."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ...core.child import child_command
from ...core.errors import RuntimeFailure

_SECONDS = 600.0


@dataclass(frozen=True)
class FreshStart:
    """What one process needed. `cold_ms`: from its start to its first answer, with the interpreter, the libraries, the file
    from disk (and its digests, where it is an artifact) and one batch of zeros; `first_ms`: that inference alone.

    `growth_bytes` is what the model added to its resident memory, over loading and three runs; `peak_bytes` all that it held.
    """

    cold_ms: float
    first_ms: float
    growth_bytes: int
    peak_bytes: int


def fresh_start(path: Path, threads: int, batch: int) -> FreshStart:
    """Start a process that loads the file and runs it; raises RuntimeFailure, also when the process crashes."""
    ours, theirs = Pipe()
    arguments = (str(theirs.fileno()), str(path), str(threads), str(batch))
    begin = time.perf_counter_ns()
    child = subprocess.Popen(
        child_command(f"{__package__}.fresh_child", *arguments),
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    theirs.close()
    try:
        _answer(ours, path)
        cold_ms = (time.perf_counter_ns() - begin) / 1e6
        first_ms, growth, peak = _answer(ours, path)
        return FreshStart(cold_ms, first_ms, growth, peak)
    except (EOFError, OSError) as error:
        code = child.wait()
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise RuntimeFailure(f"{path}: a fresh process crashed on it ({reason}); it cannot be measured.") from error
    finally:
        ours.close()
        child.kill()
        child.wait()


def _answer(connection: Connection, path: Path) -> Any:
    if not connection.poll(_SECONDS):
        raise RuntimeFailure(f"{path}: a fresh process gave no answer within {_SECONDS:.0f} s; it was ended.")
    status, value = connection.recv()
    if status == "error":
        raise RuntimeFailure(f"{path}: {value}")
    return value
