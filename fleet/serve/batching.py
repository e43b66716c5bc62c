"""Samples of different requests run together, for models whose file leaves the batch free.

    requests A (1 sample), B (2), C (1) within `wait_ms`  ->  one run of 4 samples  ->  A, B, C their rows

The first request to come waits for others; a batch that is full starts at once. Requests whose other sizes differ, where these
are free too, do not share a run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .model import LoadedModel, Ran

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(eq=False)
class _Waiting:
    inputs: Mapping[str, NDArray[Any]]
    samples: int
    start: float
    is_done: threading.Event = field(default_factory=threading.Event)
    ran: Ran | None = None
    error: BaseException | None = None

    def form(self) -> tuple[tuple[int, ...], ...]:
        """What must be equal for a shared run."""
        return tuple(array.shape[1:] for array in self.inputs.values())


class Batches:
    """A `Runner` in front of a model with a free batch."""

    def __init__(self, model: LoadedModel, size: int, wait_ms: float) -> None:
        """Runs of at most `size` samples, unless one request alone has more."""
        self._model, self._size, self._wait_s = model, size, wait_ms / 1e3
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        threading.Thread(target=self._work, daemon=True).start()

    def run(self, inputs: Mapping[str, NDArray[Any]], samples: int) -> Ran:
        """Outputs of one request; raises RuntimeFailure, to each request of a run that fails."""
        names = [spec.name for spec in self._model.inputs]
        mine = _Waiting({name: inputs[name] for name in names}, samples, time.perf_counter())
        with self._changed:
            self._waiting.append(mine)
            self._changed.notify()
        mine.is_done.wait()
        if mine.error is not None:
            raise mine.error
        assert mine.ran is not None  # noqa: S101 - is_done is set with one of the two
        return mine.ran

    def _work(self) -> None:
        while True:
            batch = self._next()
            try:
                self._run(batch)
            except BaseException as error:  # each request is told; the thread goes on
                for item in batch:
                    item.error = error
            for item in batch:
                item.is_done.set()

    def _next(self) -> list[_Waiting]:
        """The requests of the next run, at least one."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting))
            end = self._waiting[0].start + self._wait_s
            self._changed.wait_for(
                lambda: sum(item.samples for item in self._waiting) >= self._size, max(0.0, end - time.perf_counter())
            )
            first = self._waiting[0]
            taken: list[_Waiting] = []
            room = max(self._size, first.samples)
            for item in list(self._waiting):
                if item.samples <= room and item.form() == first.form():
                    taken.append(item)
                    room -= item.samples
            self._waiting = [item for item in self._waiting if item not in taken]
            return taken

    def _run(self, batch: list[_Waiting]) -> None:
        began = time.perf_counter()
        total = sum(item.samples for item in batch)
        together = (
            {name: np.concatenate([item.inputs[name] for item in batch]) for name in batch[0].inputs}
            if len(batch) > 1
            else batch[0].inputs
        )
        ran = self._model.run(together, total)
        offset = 0
        for item in batch:
            rows = slice(offset, offset + item.samples)
            outputs = {name: array[rows] for name, array in ran.outputs.items()}
            # Of a run that several requests share, the first is told, so that runs add up.
            item.ran = Ran(outputs, began - item.start + ran.queue_s, ran.infer_s, ran.executions if offset == 0 else 0)
            offset += item.samples
