"""What a candidate answers on a split, run in its own runtime, in a child process, kept in the store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calibration.dataset import Split
from ..core.canonical import digest_json
from ..core.code import code_digest
from ..core.errors import RuntimeFailure
from ..core.progress import Progress
from ..core.store import StepStore
from ..runtimes import registry
from ..runtimes.location import Here, Location
from ..runtimes.remote import RemoteExecutor
from .build import Built

Outputs = Mapping[str, NDArray[Any]]
_BATCH_BYTES = 16 << 20


class Evaluator:
    """Runs candidates over splits; keeps one child process a runtime and location."""

    def __init__(self, store: StepStore, threads: int, progress: Progress) -> None:
        """`threads` is given to every runtime."""
        self._store, self._threads, self._progress = store, threads, progress
        self._children: dict[tuple[str, str], RemoteExecutor] = {}

    def outputs(self, built: Built, split: Split, location: Location | None = None) -> Outputs:
        """Outputs [n, ...] by name over all samples of `split`, run at `location`, here by default.

        Raises RuntimeFailure when the runtime fails or crashes.
        """
        place = location or Here()
        key = self._store.key(
            "evaluate",
            candidate=built.digest,
            data=[split.data.digest, digest_json(list(split.indices))],
            runtime=[built.runtime, registry.get(built.runtime).version()],
            **place.key(),
            threads=self._threads,
            code=code_digest(),
        )
        folder = self._store.step(key, lambda made: self._run(made, built, split, place))
        return {name: np.load(folder / f"{index}.npy") for index, name in enumerate(_names(folder))}

    def close(self) -> None:
        """End the child processes."""
        for child in self._children.values():
            child.close()
        self._children.clear()

    def _run(self, folder: Path, built: Built, split: Split, location: Location) -> None:
        parts: list[Outputs] = []
        title = f"{built.runtime} {built.precision} on {split.name}"
        with self._child(built.runtime, location) as child, self._progress.task(title, len(split)) as advance:
            child.load(built.files, built.entry)
            for batch in split.batches(_batch_size(split)):
                parts.append(child.run({spec.name: batch.inputs[spec.name] for spec in child.inputs}))
                advance(len(batch.indices))
            child.unload()
        names = list(parts[0])
        (folder / "names").write_text(json.dumps(names), "utf-8")
        for index, name in enumerate(names):
            np.save(folder / f"{index}.npy", np.concatenate([part[name] for part in parts]))

    @contextmanager
    def _child(self, runtime: str, location: Location) -> Iterator[RemoteExecutor]:
        """The child for a runtime and location; one that failed is ended and not used again."""
        name = (runtime, digest_json(location.key()))
        if name not in self._children:
            self._children[name] = RemoteExecutor(runtime, self._threads, location)
        try:
            yield self._children[name]
        except (RuntimeFailure, KeyboardInterrupt):
            self._children.pop(name).close()
            raise


def _names(folder: Path) -> Sequence[str]:
    names: list[str] = json.loads((folder / "names").read_text("utf-8"))
    return names


def _batch_size(split: Split) -> int:
    """Samples that are sent to the child at once."""
    one = sum(
        int(np.prod([size or 1 for size in spec.shape[1:]], dtype=np.int64)) * np.dtype(spec.dtype).itemsize
        for spec in split.data.inputs
    )
    return int(max(1, min(256, _BATCH_BYTES // max(one, 1))))
