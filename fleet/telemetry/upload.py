"""Kept examples on their way to the server, in the updater: those alone that somebody agreed may leave the device.

A file is removed once the server has it; one that comes twice is one there, by its digest. What the server will never take is
told of once and stays, within the device's own quota.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ...core.errors import ProtocolError, StoreError
from ..protocol.sample import MAX_SAMPLE_BYTES
from .sampling import MAY_LEAVE

log = logging.getLogger("edgewright.telemetry")

_MOST_FILES, _MOST_BYTES = 100, 16 << 20  # of one call


class NotTaken(ProtocolError):
    """The server refuses what it was sent, and would again."""


class Taker(Protocol):
    """Who takes samples."""

    def send_sample(self, data: bytes) -> bool:
        """Whether the server has it now, else it takes no more today; raises NetworkError, ProtocolError or NotTaken."""
        ...


class Uploader:
    """The samples of one device's folder."""

    def __init__(self, folder: Path, server: Taker) -> None:
        """`folder` has a folder a day, which workers write to."""
        self._folder, self._server = folder, server
        self._refused: set[Path] = set()

    def send(self) -> int:
        """Send what waits, the oldest first, and remove what the server has; how many that were.

        Raises NetworkError, ProtocolError or StoreError, and keeps what was not taken.
        """
        taken = size = 0
        for path in self._waiting():
            data = _read(path)
            size += len(data)
            if taken == _MOST_FILES or size > _MOST_BYTES:
                break
            try:
                if not self._server.send_sample(data):
                    log.info("the server takes no more samples of this device today.")
                    break
            except NotTaken as error:
                self._refused.add(path)
                log.error("the sample %s stays here: %s", path.name, error)
                continue
            _remove(path)
            taken += 1
        return taken

    def _waiting(self) -> Iterator[Path]:
        """Files that may leave, oldest day first; days that have none left are removed, but today's: workers write into it."""
        today = time.strftime("%Y-%m-%d", time.gmtime())
        for day in sorted(path for path in self._folder.glob("*") if path.is_dir() and not path.is_symlink()):
            if day.name < today:
                with contextlib.suppress(OSError):  # it holds something
                    day.rmdir()
            for path in sorted(day.glob(f"*{MAY_LEAVE}")):
                if path not in self._refused and not path.is_symlink():
                    yield path


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_SAMPLE_BYTES + 1)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}; give the agent's user the data folder.") from error


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {error.strerror}; give the agent's user the data folder.") from error
