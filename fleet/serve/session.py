"""Inference inside a Python application: no server, no socket, and the generation that the agent has put in place.

    session = Session("digits", data_dir=Path("/var/lib/edgewright"))
    scores = session.run({"x": image})["scores"]

A thread looks at the model's `current` link. When the agent has switched it, the thread loads the new artifact beside the old
one, and then the next call runs on it; calls that run end on the old one, whose memory is released after the last. A new
artifact that cannot be loaded leaves the old one in use, and `trouble` says why.

Beside an agent, requests are counted for its telemetry: from the arrays themselves, a moment after the call. An application
that writes the next sample into the same array may have that one counted in its place.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import AgentError, EdgewrightError, RuntimeFailure
from ..protocol.offer import check_model
from ..protocol.window import ErrorKind
from ..telemetry.counting import Counter
from ..telemetry.live import FOLDER
from .generation import Statistics
from .model import LoadedModel, samples_of
from .statistics import statistics_of
from .tally import Durations, Tally

_LEAVING_S = 0.01
CURRENT = "models/{model}/current/artifact.ewa"


@dataclass(eq=False)
class _Loaded:
    """A generation, who counts it, and how many calls run on it now."""

    model: LoadedModel
    counter: Counter | None
    calls: int = 0


class Session:
    """One model, by the data folder of an agent or by an artifact's path. Any number of threads may call `run`."""

    def __init__(
        self,
        model: str,
        data_dir: Path | None = None,
        artifact: Path | None = None,
        threads: int | None = None,
        counts: bool = True,
        look_every_s: float = 1.0,
    ) -> None:
        """Load the model; `counts` lets the agent of `data_dir` have its telemetry, `look_every_s` is how often a switch is
        looked for.

        Raises AgentError when the data folder has no artifact of it yet, ArtifactError when that is damaged, RuntimeFailure or
        UsageError when it cannot be run here.
        """
        check_model(model)
        if (data_dir is None) == (artifact is None):
            raise AgentError("a session needs the data folder of an agent, or an artifact; give one of them.")
        self._path: Path = artifact if artifact is not None else Path(data_dir or "") / CURRENT.format(model=model)
        self._live = data_dir / FOLDER if data_dir is not None and counts else None
        self._name, self._threads, self._every_s = model, threads, look_every_s
        self._tally = Tally()
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self.trouble: str | None = None
        self._seen = self._look()
        if self._seen is None:
            raise AgentError(f"there is no artifact of {model!r} at {self._path}; let the agent fetch one, or check the path.")
        self._loaded: _Loaded | None = self._load()
        threading.Thread(target=self._follow, daemon=True).start()

    @property
    def sha256(self) -> str:
        """Digest of the artifact that runs now."""
        return self._current().model.sha256

    @property
    def version(self) -> str:
        """The protocol's version of what runs now: the first digits of its digest."""
        return self._current().model.version

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs [n, ...] of inputs [n, ...]; raises RuntimeFailure on other names, types or shapes than the model's."""
        with self._lock:
            loaded = self._current()
            loaded.calls += 1
        self._tally.begin()
        try:
            arrays = {name: np.asarray(array) for name, array in inputs.items()}
            samples = samples_of(arrays)
            ran = loaded.model.run(arrays, samples)
            seconds = Durations(queue=ran.queue_s, infer=ran.infer_s)
            self._tally.succeed(seconds, samples, ran.executions)
            if loaded.counter is not None:
                loaded.counter.offer(arrays, ran.outputs, seconds.request)
            return ran.outputs
        except BaseException as error:
            kind: ErrorKind = "runtime" if isinstance(error, RuntimeFailure) else "internal"
            self._tally.fail(kind)
            if loaded.counter is not None:
                loaded.counter.fail(kind)
            raise
        finally:
            with self._lock:
                loaded.calls -= 1

    def statistics(self) -> Statistics:
        """Counts since the session was opened, over its generations."""
        return statistics_of(self._tally.read())

    def close(self) -> None:
        """Stop looking, and release the model when the last call has ended."""
        with self._lock:
            self._is_closed.set()
            loaded, self._loaded = self._loaded, None
        if loaded is not None:
            self._leave(loaded)

    def __enter__(self) -> Session:
        """Close at the end of the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _current(self) -> _Loaded:
        loaded = self._loaded
        if loaded is None:
            raise RuntimeFailure("this session is closed; open another.")
        return loaded

    def _look(self) -> tuple[int, ...] | None:
        """What tells one file at the path from another, without reading it; None while there is none."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size

    def _load(self) -> _Loaded:
        model = LoadedModel(self._path, self._name, threads=self._threads)
        counter = None
        if self._live is not None:
            counter = Counter(self._live, model.manifest, model.sha256, model.name, model.vectors.outputs)
        return _Loaded(model, counter)

    def _leave(self, loaded: _Loaded) -> None:
        """Close the counts of a generation that gets no more calls, after its last; its memory goes with its last reference."""
        while loaded.counter is not None:
            with self._lock:
                if loaded.calls == 0:
                    break
            time.sleep(_LEAVING_S)
        if loaded.counter is not None:
            loaded.counter.close()

    def _follow(self) -> None:
        """Load what the path names whenever that is another file."""
        while not self._is_closed.wait(self._every_s):
            there = self._look()
            if there is None or there == self._seen:
                continue
            try:
                new = self._load()
            except Exception as error:
                # The same file is not tried again; the agent's own check finds it as bad, and goes back.
                named = "" if isinstance(error, EdgewrightError) else f"{type(error).__name__}: "
                self._seen, self.trouble = there, f"{named}{error}"
                continue
            with self._lock:
                is_late = self._is_closed.is_set()
                old = new if is_late else self._loaded
                if not is_late:
                    self._loaded, self._seen, self.trouble = new, there, None
            if old is not None:
                self._leave(old)
            del new, old
