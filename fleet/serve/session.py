"""Inference inside a Python application: no server, no socket, and the generation that the agent has put in place.

    session = Session("digits", data_dir=Path("/var/lib/edgewright"))
    scores = session.run({"x": image})["scores"]

A thread looks at the model's `current` link. When the agent has switched it, the thread loads the new artifact beside the old
one, and then the next call runs on it; calls that run end on the old one, whose memory is released after the last. A new
artifact that cannot be loaded leaves the old one in use, and `trouble` says why.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import AgentError, EdgewrightError, RuntimeFailure
from ..protocol.offer import check_model
from .generation import Statistics
from .model import LoadedModel, samples_of
from .observer import Observer
from .statistics import statistics_of
from .tally import Durations, ErrorKind, Tally

CURRENT = "models/{model}/current/artifact.ewa"


class Session:
    """One model, by the data folder of an agent or by an artifact's path. Any number of threads may call `run`."""

    def __init__(
        self,
        model: str,
        data_dir: Path | None = None,
        artifact: Path | None = None,
        threads: int | None = None,
        observer: Observer | None = None,
        look_every_s: float = 1.0,
    ) -> None:
        """Load the model; `look_every_s` is how often a switch is looked for.

        Raises AgentError when the data folder has no artifact of it yet, ArtifactError when that is damaged, RuntimeFailure or
        UsageError when it cannot be run here.
        """
        check_model(model)
        if (data_dir is None) == (artifact is None):
            raise AgentError("a session needs the data folder of an agent, or an artifact; give one of them.")
        self._path: Path = artifact if artifact is not None else Path(data_dir or "") / CURRENT.format(model=model)
        self._name, self._threads, self._observer, self._every_s = model, threads, observer, look_every_s
        self._tally = Tally()
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self.trouble: str | None = None
        self._seen = self._look()
        if self._seen is None:
            raise AgentError(f"there is no artifact of {model!r} at {self._path}; let the agent fetch one, or check the path.")
        self._model: LoadedModel | None = self._load()
        threading.Thread(target=self._follow, daemon=True).start()

    @property
    def sha256(self) -> str:
        """Digest of the artifact that runs now."""
        return self._current().sha256

    @property
    def version(self) -> str:
        """The protocol's version of what runs now: the first digits of its digest."""
        return self._current().version

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs [n, ...] of inputs [n, ...]; raises RuntimeFailure on other names, types or shapes than the model's."""
        model = self._current()
        self._tally.begin()
        try:
            arrays = {name: np.asarray(array) for name, array in inputs.items()}
            samples = samples_of(arrays)
            ran = model.run(arrays, samples)
        except BaseException as error:
            kind: ErrorKind = "runtime" if isinstance(error, RuntimeFailure) else "internal"
            self._tally.fail(kind)
            if self._observer is not None:
                self._observer.fail(kind)
            raise
        seconds = Durations(queue=ran.queue_s, infer=ran.infer_s)
        self._tally.succeed(seconds, samples, ran.executions)
        if self._observer is not None:
            self._observer.offer(arrays, ran.outputs, seconds.request)
        return ran.outputs

    def statistics(self) -> Statistics:
        """Counts since the session was opened, over its generations."""
        return statistics_of(self._tally.read())

    def close(self) -> None:
        """Stop looking, and release the model when the last call has ended."""
        with self._lock:
            self._is_closed.set()
            self._model = None

    def __enter__(self) -> Session:
        """Close at the end of the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _current(self) -> LoadedModel:
        model = self._model
        if model is None:
            raise RuntimeFailure("this session is closed; open another.")
        return model

    def _look(self) -> tuple[int, ...] | None:
        """What tells one file at the path from another, without reading it; None while there is none."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size

    def _load(self) -> LoadedModel:
        return LoadedModel(self._path, self._name, threads=self._threads)

    def _follow(self) -> None:
        """Load what the path names whenever that is another file."""
        while not self._is_closed.wait(self._every_s):
            there = self._look()
            if there is None or there == self._seen:
                continue
            try:
                model = self._load()
            except EdgewrightError as error:
                # The same file is not tried again; the agent's own check finds it as bad, and goes back.
                self._seen, self.trouble = there, str(error)
                continue
            with self._lock:
                if self._is_closed.is_set():
                    return
                self._model, self._seen, self.trouble = model, there, None
            del model
