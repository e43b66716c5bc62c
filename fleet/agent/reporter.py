"""Tells the server where an update is, each report numbered within this start of the agent."""

from __future__ import annotations

import json
import logging
import secrets

from ...core.artifact_json import Fields
from ...core.canonical import dumps
from ...core.clock import Clock
from ...core.errors import ArtifactError, StoreError
from ..disk import Disk
from ..protocol.report import Answer, Report, Result, State
from .ports import Server

log = logging.getLogger("edgewright.agent")

_BOOTS = ("boot.json", "boot.2.json")  # in turn, each of a fixed size
_BOOT_BYTES = 64


def next_boot(disk: Disk) -> str:
    """Name of this start of the agent: a persisted count, and a random part so that a lost count repeats no name.

    One file of two is overwritten in place, so that a full disk repeats no count, and a damaged file loses none. Where neither
    can be kept the server orders starts by when it first heard of them.
    """
    count = max(_boots(disk, path) for path in _BOOTS) + 1
    path = _BOOTS[count % 2]
    try:
        is_new = disk.size(path) is None
        disk.write_range(path, 0, dumps({"boots": count}).ljust(_BOOT_BYTES))
        disk.sync(path)
        if is_new:
            disk.sync(".")
    except StoreError as error:
        log.error("%s", error)  # what is on the disk can still be served
    return f"{count:08d}-{secrets.token_hex(4)}"


def _boots(disk: Disk, path: str) -> int:
    try:
        if disk.size(path) is None:
            return 0
        count = Fields(json.loads(disk.read(path)[:_BOOT_BYTES]), "the count of boots").count("boots")
    except (ArtifactError, StoreError, ValueError, RecursionError) as error:
        log.error("the count of starts in %s is lost: %s", path, error)
        return 0
    return count if count < 10**12 else 0


class Reporter:
    """Reports of one device since one start of its agent."""

    def __init__(self, device: str, boot: str, server: Server, clock: Clock) -> None:
        self._device, self._boot, self._server, self._clock = device, boot, server, clock
        self._sequence = 0

    def tell(
        self,
        model: str,
        state: State,
        running: str | None,
        target: str | None = None,
        result: Result | None = None,
        why: str = "",
    ) -> Answer:
        """Send a report; raises NetworkError or ProtocolError. A number is used once, whether it arrived or not."""
        self._sequence += 1
        report = Report(self._device, self._boot, self._sequence, model, running, target, state, result, why, self._clock.now())
        return self._server.report(report)
