"""Telemetry in the updater: closed windows go into the spool, the spool goes to the server."""

from __future__ import annotations

import logging
from typing import Protocol

from ...core.errors import ProtocolError
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
    """The device's side of telemetry; implements the agent's `Telemetry`."""

    def __init__(self, disk: Disk, boot: str, spool: Spool | None = None, *, sends: bool = True) -> None:
        """Open the spool and take over what processes that died had counted; without `sends` windows are kept only."""
        self._disk, self._sends = disk, sends
        self._spool = spool or Spool(disk, boot)
        self.collect()

    @property
    def spool(self) -> Spool:
        """What waits."""
        return self._spool

    def collect(self) -> int:
        """Windows that were taken over; raises StoreError when the disk refuses. What finds no room stays where it is."""
        taken = 0
        for path in live.finished(self._disk.full_path(live.FOLDER)):
            name = f"{live.FOLDER}/{path.name}"
            try:
                window = live.read(path)
            except ProtocolError as error:
                log.error("a window is lost: %s", error)
                self._remove(name)
                continue
            if not window.is_empty and not self._spool.add(window, path.stem):
                log.warning("the spool of telemetry is full and cannot be merged further; windows wait in %s.", live.FOLDER)
                break
            self._remove(name)
            taken += 1
        return taken

    def _remove(self, name: str) -> None:
        """Durably, before anything else happens to the window: a file that comes back after a power cut would count twice."""
        self._disk.remove(name)
        self._disk.sync(live.FOLDER)

    def send(self, server: Receiver) -> None:
        """Collect, and send what waits; raises NetworkError, ProtocolError or StoreError, and keeps what was not taken."""
        self.collect()
        for _ in range(_MOST_BATCHES):
            chosen = self._spool.batch() if self._sends else None
            if chosen is None:
                return
            model, frames = chosen
            self._spool.acknowledge(model, server.send_telemetry(frames))
