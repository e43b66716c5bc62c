"""One agent a data folder: a lock that ends with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...core.errors import AgentError

_LOCK = "agent.lock"


@contextmanager
def only_agent(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; raises AgentError when another agent has it or the folder is not usable."""
    path = folder / _LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise AgentError(f"cannot use the data folder {folder}: {error.strerror}; choose one that is writable.") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AgentError(f"another agent uses the data folder {folder}; stop it, or choose another folder.") from error
        yield
    finally:
        os.close(handle)
