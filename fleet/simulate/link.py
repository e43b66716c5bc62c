"""The network between simulated devices and the control plane's own objects: what passes is the wire's bytes, or is lost."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ...core.errors import NetworkError
from ..control.polls import Polls
from ..control.store import Store
from ..protocol.assignment import Assignment
from ..protocol.report import Answer, Report
from ..protocol.window import Batch


@dataclass
class Link:
    """One server for all devices; `loss` is the share of exchanges that fail, half of them after the server has heard."""

    store: Store
    polls: Polls
    draw: random.Random
    loss: float
    exchanges: int = 0

    def assignment(self, device: str, etag: bytes | None) -> tuple[Assignment | None, bytes]:
        """What a device is told that asks, None where it has it by its ETag, and the ETag of it; raises NetworkError."""
        is_lost = self._is_lost()
        told = self.polls.answer(device, etag)
        self._fail_if(is_lost)
        return None if told.body is None else Assignment.decode(told.body), told.etag

    def report(self, report: Report) -> Answer:
        """Tell; raises NetworkError, and then the server may have heard or not."""
        is_lost = self._is_lost()
        answer = Answer(self.store.take(Report.decode(report.encode()))).encode()
        self._fail_if(is_lost)
        return Answer.decode(answer)

    def telemetry(self, device: str, batch: Batch) -> int:
        """Send windows; the highest number of their stream that the server has. Raises NetworkError."""
        is_lost = self._is_lost()
        highest = self.store.take_windows(device, Batch.decode(batch.encode()))
        self._fail_if(is_lost)
        return highest

    def _is_lost(self) -> bool:
        """Whether the answer will be lost; raises NetworkError where the request is."""
        self.exchanges += 1
        if self.draw.random() >= self.loss:
            return False
        if self.draw.random() < 0.5:
            raise NetworkError("the request is lost.")
        return True

    @staticmethod
    def _fail_if(is_lost: bool) -> None:
        if is_lost:
            raise NetworkError("the answer is lost.")
