"""Examples for the next training: what a model was unsure of, what a second model answers otherwise, and a random share.

Off unless somebody consented, by name, on the device; the name stands in every sample. The rules:

1. Only a quota of bytes a day, and of bytes in all, is kept; what comes after is counted as passed over, not kept.
2. What a redaction hook gives back is kept in place of the request; a hook that fails or gives None keeps nothing.
3. Looking and writing is off the way of the requests: a bounded queue and a thread; what finds it full is passed over.
4. A sample is a file of its own, whole or not there: the inputs and outputs and what is known about them (sample_file.py).

5. What was agreed to leave the device is told apart by its name, and sent by the updater (upload.py).

    telemetry/samples/<day of the device's clock>/<model>-<milliseconds>-<pid>-<number>[.upload].npz
"""

from __future__ import annotations

import importlib
import logging
import math
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...calibration.confidence import Confidence
from ...core.errors import UsageError
from ..protocol.sample import DISAGREEMENT, HARD, MAX_SAMPLE_BYTES, RANDOM
from ..protocol.window import ErrorKind
from . import sample_file
from .sampling import MAY_LEAVE, Sampling

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger("edgewright.telemetry")

_QUEUE = 32

Arrays = Mapping[str, "NDArray[Any]"]
Redact = Callable[[Arrays], "Arrays | None"]
Shadow = Callable[[Arrays], Arrays]


class Sampler:
    """An observer that keeps hard examples of one loaded artifact."""

    def __init__(
        self,
        folder: Path,
        sampling: Sampling,
        model: str,
        sha256: str,
        confidence_of: str | None,
        known_outputs: Arrays,
        shadow: Shadow | None = None,
    ) -> None:
        """`confidence_of`: the output [n, classes] that is looked at; None where the artifact has none, and nothing is hard."""
        self._folder, self._sampling, self._model, self._sha256 = folder, sampling, model, sha256
        self._tensor, self._shadow = confidence_of, shadow
        self._confidence = Confidence(None if confidence_of is None else known_outputs.get(confidence_of))
        self._redact = None if sampling.redact is None else _hook(sampling.redact)
        self._waiting: queue.Queue[tuple[Arrays, Arrays] | None] = queue.Queue(_QUEUE)
        self._draw = random.Random()
        self._number = 0
        self.passed_over = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def offer(self, inputs: Arrays, outputs: Arrays, latency_s: float) -> None:
        """A request that was answered; returns at once."""
        del latency_s
        try:
            self._waiting.put_nowait((inputs, outputs))
        except queue.Full:
            self.passed_over += 1

    def fail(self, kind: ErrorKind) -> None:
        """A failed request is no sample."""

    def close(self, within_s: float = 5.0) -> None:
        """Look at what waits, for at most so long."""
        self._waiting.put(None)
        self._thread.join(within_s)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                self._look(*item)
            except Exception as error:  # a user's hook, or arrays of another model: no request suffers
                self.passed_over += 1
                log.warning("a sample of %s is not kept: %s: %s", self._model, type(error).__name__, error)

    def _look(self, inputs: Arrays, outputs: Arrays) -> None:
        if self._tensor is None or outputs[self._tensor].ndim != 2:
            return
        scores = outputs[self._tensor]
        confidence = self._confidence.of(scores)
        for place, told in enumerate(confidence.tolist()):
            sure = min(max(told, 0.0), 1.0) if math.isfinite(told) else 0.0
            one = {name: array[place : place + 1] for name, array in inputs.items()}
            reasons = [RANDOM] if self._draw.random() < self._sampling.share else []
            reasons += [HARD] if sure < self._sampling.below else []
            predicted = int(scores[place].argmax())
            if self._shadow is not None and int(self._shadow(one)[self._tensor].argmax()) != predicted:
                reasons.append(DISAGREEMENT)
            if reasons:
                answers = {name: array[place : place + 1] for name, array in outputs.items()}
                self._keep(one, answers, {"confidence": sure, "predicted": predicted, "reasons": reasons})

    def _keep(self, inputs: Arrays, outputs: Arrays, told: Mapping[str, Any]) -> None:
        arrays: Arrays | None = {**_named("input", inputs), **_named("output", outputs)}
        if self._redact is not None and arrays is not None:
            arrays = self._redact(arrays)
        if arrays is None:
            return
        about = {
            **told,
            "artifact": self._sha256,
            "at": time.time(),
            "consent": self._sampling.consent,
            "model": self._model,
            "upload": self._sampling.upload,
        }
        data = sample_file.pack(arrays, about)
        day = self._folder / time.strftime("%Y-%m-%d", time.gmtime())
        fits = len(data) <= MAX_SAMPLE_BYTES and _bytes(day) + len(data) <= self._sampling.day_bytes
        if not fits or sum(map(_bytes, self._folder.glob("*"))) + len(data) > self._sampling.all_bytes:
            self.passed_over += 1
            return
        # What people said, showed or wrote: for the agent's user alone.
        self._folder.mkdir(0o700, parents=True, exist_ok=True)
        day.mkdir(0o700, exist_ok=True)
        self._number += 1
        ending = MAY_LEAVE if self._sampling.upload else ".npz"
        path = day / f"{self._model}-{int(time.time() * 1e3)}-{os.getpid()}-{self._number}{ending}"
        fresh = path.with_suffix(".part")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)
        fresh.rename(path)


def _named(kind: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    return {f"{kind}.{name}": array for name, array in arrays.items()}


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.npz")) if folder.is_dir() else 0


def _hook(text: str) -> Redact:
    """The function that `module:function` names; raises UsageError when there is none."""
    module, _, name = text.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # a user's module may do anything
        raise UsageError(f"the redaction hook {text!r} cannot be imported: {error}; check the name and PYTHONPATH.") from error
    if not callable(found):
        raise UsageError(f"the redaction hook {text!r} is no function.")
    return found  # type: ignore[no-any-return]
