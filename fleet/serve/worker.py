"""The process of one generation: an artifact, its runtime, and a server; told what to do by the supervisor over a channel.

    ready                      said once, when the artifact is verified, loaded and warmed up (or error, and the process ends)
    listen + listening socket  accept from it too
    adopt + channel            take over the connections that the generation before hands on
    check                      run the test vectors; answers with a Health
    statistics                 answers with Statistics
    drain [+ channel]          stop accepting, finish what was begun, hand on the connections; then the process ends

It imports numpy and one runtime. It ends when the supervisor does: the channel closes. Signals that reach a whole process
group (Ctrl-C, a service manager's) are the supervisor's to answer.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from ...core.errors import ArtifactError, EdgewrightError, VerificationError
from .batching import Batches
from .channel import Channel
from .check import check
from .confidence import ConfidenceCounts
from .generation import Statistics
from .model import LoadedModel, Runner
from .observers import telemetry_of
from .orders import Orders
from .server import Server
from .service import Service
from .statistics import statistics_of
from .tally import Tally

# Of a worker whose supervisor is gone: it finishes what it has begun, if that takes no longer.
_ORPHAN_SECONDS = 5.0
# Threads that count must not hold up those that answer: by default one may keep the interpreter for 5 ms.
_SWITCH_SECONDS = 0.0005


def main(arguments: Sequence[str]) -> NoReturn:
    """The worker: `arguments` are its `Orders`, as text."""
    orders = Orders.parse(arguments[0])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.setswitchinterval(_SWITCH_SECONDS)
    channel = Channel(socket.socket(fileno=orders.channel))
    threading.Thread(target=_end_with_supervisor, args=(channel.fileno(),), daemon=True).start()
    try:
        worker = Worker(LoadedModel(Path(orders.artifact), orders.model, orders.sha256, orders.threads), orders)
    except EdgewrightError as error:
        is_untrusted = isinstance(error, (VerificationError, ArtifactError))
        channel.send({"error": str(error), "is_untrusted": is_untrusted})
        _end(1)
    code = 0
    try:
        worker.obey(channel)
    except EOFError:
        code = 1
    worker.close()
    _end(code)


class Worker:
    """A loaded model with its server."""

    def __init__(self, model: LoadedModel, orders: Orders) -> None:
        """Put batches in front of the model where they are asked for and its file takes them."""
        self._model, self._tally = model, Tally()
        runner: Runner = Batches(model, orders.batch, orders.wait_ms) if orders.batch > 1 and model.is_batch_free else model
        self._confidence = ConfidenceCounts(model)
        is_told = orders.telemetry is not None
        folder = Path(orders.telemetry or "")
        self._telemetry = telemetry_of(model, folder, orders.window_s, orders.sampling) if is_told else []
        self._service = Service(model, self._tally, runner, [self._confidence, *self._telemetry])
        self._server = Server(self._service.handle, self._service.bound)
        self._private = socket.socket(fileno=orders.private)

    def close(self) -> None:
        """Finish what is counted and kept."""
        for observer in self._telemetry:
            observer.close()

    def obey(self, channel: Channel) -> None:
        """Serve the private socket and follow the channel until told to drain; raises EOFError when the supervisor is gone."""
        self._server.listen(self._private)
        channel.send({"ready": True})
        while True:
            try:
                message, sockets = channel.receive()
            except EOFError:
                self._server.drain(None, _ORPHAN_SECONDS)
                raise
            answer: Any = True
            if message["do"] == "listen":
                self._server.listen(sockets[0])
            elif message["do"] == "adopt":
                self._server.adopt(sockets[0])
            elif message["do"] == "check":
                answer = asdict(check(self._model, Service(self._model, Tally())))
            elif message["do"] == "statistics":
                answer = asdict(self._statistics())
            elif message["do"] == "drain":
                is_done = self._server.drain(sockets[0] if sockets else None, float(message["seconds"]))
                channel.send({"answer": is_done})
                return
            channel.send({"answer": answer})

    def _statistics(self) -> Statistics:
        return statistics_of(self._tally.read(), self._confidence.counts, self._confidence.reference)


def _end_with_supervisor(handle: int) -> None:
    """End the process when the supervisor is gone, also while a library loads or a kernel hangs."""
    poll = select.poll()
    poll.register(handle, 0)
    poll.poll()
    time.sleep(_ORPHAN_SECONDS + 1)
    _end(1)


def _end(code: int) -> NoReturn:
    """End at once: threads in native code outlive no orderly shutdown of the interpreter."""
    sys.stderr.flush()
    os._exit(code)
