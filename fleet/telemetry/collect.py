"""Telemetry in the updater: closed windows go into the spool, the spool goes to the server."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Protocol

from ...core.errors import ProtocolError, StoreError
from ..disk import Disk
from . import live
from .spool import Spool

log = logging.getLogger("edgewright.telemetry")
_MOST_BATCHES = 100  # of one call


class Receiver(Protocol):
    """Who takes telemetry."""

    def send_telemetry(self, frames: bytes) -> int:
        """The highest sequence of the batch's model and stream that it has now; raises NetworkError or ProtocolError."""
        ...


class Collector:
    """The device's side of telemetry; implements the agent's `Telemetry`.

    What the disk refuses now is tried again at the next call: telemetry keeps no device from serving.
    """

    def __init__(self, disk: Disk, boot: str, spool: Spool | None = None, *, sends: bool = True) -> None:
        """Open the spool and take over what processes that died had counted; without `sends` windows are kept only."""
        self._disk, self._boot, self._sends = disk, boot, sends
        self._opened = spool
        self._told: set[str] = set()
        try:
            self.collect()
        except StoreError as error:
            log.error("telemetry waits: %s", error)

    @property
    def spool(self) -> Spool:
        """What waits; raises StoreError while it cannot be opened."""
        if self._opened is None:
            self._opened = Spool(self._disk, self._boot)
        return self._opened

    def collect(self) -> int:
        """Windows that were taken over; raises StoreError when the disk refuses. What finds no room stays where it is.

        What cannot be read is passed over, and nothing is taken from a folder that it could not be removed from.
        """
        spool, folder, taken = self.spool, self._disk.full_path(live.FOLDER), 0
        if not _may_remove(folder):
            self._tell(f"windows stay in {folder}, which this user may not change; give the agent's user the data folder.")
            return 0
        for path in live.finished(folder):
            name = f"{live.FOLDER}/{path.name}"
            try:
                window = live.read(path)
            except StoreError as error:
                self._tell(f"a window is passed over: {error}")
                continue
            except ProtocolError as error:
                log.error("a window is lost: %s", error)
                self._remove(name)
                continue
            if not window.is_empty and not spool.add(window, path.stem):
                log.warning("the spool of telemetry is full and cannot be merged further; windows wait in %s.", live.FOLDER)
                break
            self._remove(name)
            taken += 1
        live.sweep(folder)
        return taken

    def _tell(self, sentence: str) -> None:
        """Log it, once."""
        if sentence not in self._told:
            self._told.add(sentence)
            log.error("%s", sentence)

    def _remove(self, name: str) -> None:
        """Durably, before anything else happens to the window: a file that comes back after a power cut would count twice."""
        self._disk.remove(name)
        self._disk.sync(live.FOLDER)

    def send(self, server: Receiver) -> None:
        """Collect, and send what waits; raises NetworkError, ProtocolError or StoreError, and keeps what was not taken.

        A batch that the server refuses, or of which it takes nothing, holds up its own model only.
        """
        self.collect()
        held_up: set[str] = set()
        refused: ProtocolError | None = None
        for _ in range(_MOST_BATCHES):
            chosen = self.spool.batch(held_up) if self._sends else None
            if chosen is None:
                break
            model, frames = chosen
            try:
                gone = self.spool.acknowledge(model, server.send_telemetry(frames))
            except ProtocolError as error:
                gone, refused = 0, refused or error
            if gone == 0:
                held_up.add(model)
        if refused is not None:
            raise refused


def _may_remove(folder: Path) -> bool:
    """Whether files in the folder may be removed, or it is not there yet."""
    is_there = os.access(folder, os.F_OK, effective_ids=True)
    return not is_there or os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True)
