"""Tells the server where an update is, each report numbered within this start of the agent."""

from __future__ import annotations

import json
import logging
import secrets

from ...core.artifact_json import Fields
from ...core.canonical import dumps
from ...core.clock import Clock
from ...core.errors import ArtifactError, StoreError
from ..disk import Disk, write_durable
from ..protocol.report import Answer, Report, Result, State
from .ports import Server

log = logging.getLogger("edgewright.agent")

_BOOT = "boot.json"


def next_boot(disk: Disk) -> str:
    """Name of this start of the agent: a persisted count, and a random part so that a lost count repeats no name."""
    try:
        count = Fields(json.loads(disk.read(_BOOT)), "the count of boots").count("boots") if disk.size(_BOOT) else 0
    except (ArtifactError, ValueError):
        count = 0
    try:
        write_durable(disk, _BOOT, dumps({"boots": count + 1}))
    except StoreError as error:
        log.error("%s", error)  # what is on the disk can still be served
    return f"{count + 1:08d}-{secrets.token_hex(4)}"


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
