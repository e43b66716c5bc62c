"""An artifact in memory, ready to answer: verified, loaded by its own runtime, one run at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ...core.artifact import TestVectors
from ...core.artifact_read import open_artifact
from ...core.errors import ArtifactError, VerificationError
from ...core.executor import TensorSpec
from ...core.manifest import Manifest
from ...runtimes.bench.batches import batch_size, run_all
from ...runtimes.bench.opening import ModelFile, load_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Digits of the file's SHA-256 that stand for its version where the protocol wants one.
VERSION_DIGITS = 16


class Ran(NamedTuple):
    """Outputs of a request, seconds that it waited and ran, and how often the runtime ran for it."""

    outputs: dict[str, NDArray[Any]]
    queue_s: float
    infer_s: float
    executions: int


class Runner(Protocol):
    """Runs requests: the model itself, or batches in front of it."""

    def run(self, inputs: Mapping[str, NDArray[Any]], samples: int) -> Ran:
        """Outputs of that many samples; raises RuntimeFailure."""


class LoadedModel:
    """One artifact. `run` may be called from any number of threads; they take turns."""

    def __init__(self, path: Path, name: str | None = None, sha256: str | None = None, threads: int | None = None) -> None:
        """Open, verify and load an artifact, and run its first test vector once.

        `sha256` is the digest that the file must have. Raises VerificationError when it has another, ArtifactError when it is
        damaged, RuntimeFailure or UsageError when it cannot be run here.
        """
        artifact = open_artifact(path)
        if sha256 is not None and artifact.digest != sha256:
            raise VerificationError(
                f"{path} has the SHA-256 {artifact.digest}, and {sha256} is what shall be served; fetch it again."
            )
        self.manifest: Manifest = artifact.manifest
        self.name = name or artifact.manifest.name
        self.sha256 = artifact.digest
        self.version = artifact.digest[:VERSION_DIGITS]
        self.vectors: TestVectors = artifact.test_vectors
        model = ModelFile(self.manifest.runtime.name, artifact.files, self.manifest.entry, self.manifest.target.threads)
        self._executor = load_model(model, threads)
        self.inputs, self.outputs = tuple(self._executor.inputs), tuple(self._executor.outputs)
        _check_same(path, "inputs", self.manifest.inputs, self.inputs)
        _check_same(path, "outputs", self.manifest.outputs, self.outputs)
        self.batch = batch_size(self.inputs)
        self.is_batch_free = all(spec.shape and spec.shape[0] is None for spec in (*self.inputs, *self.outputs))
        self._lock = threading.Lock()
        self.run({spec.name: self.vectors.inputs[spec.name][:1].repeat(self.batch, 0) for spec in self.inputs}, self.batch)

    def run(self, inputs: Mapping[str, NDArray[Any]], samples: int) -> Ran:
        """Outputs of a request; more samples than a fixed batch run one batch after the other. Raises RuntimeFailure."""
        start = time.perf_counter()
        with self._lock:
            began = time.perf_counter()
            if self.is_batch_free or samples == self.batch:
                outputs = self._executor.run(inputs)
                executions = 1
            else:
                outputs = run_all(self._executor, inputs)
                executions = -(-samples // self.batch)
            return Ran(outputs, began - start, time.perf_counter() - began, executions)

    def close(self) -> None:
        """Release the runtime's memory, when the last run has ended."""
        with self._lock:
            self._executor.close()


def samples_of(inputs: Mapping[str, NDArray[Any]]) -> int:
    """Number of samples of a request; 1 where no input has an axis."""
    return max((len(array) for array in inputs.values() if array.ndim), default=1)


def _check_same(path: Path, what: str, told: Sequence[TensorSpec], found: Sequence[TensorSpec]) -> None:
    if {(spec.name, spec.dtype) for spec in told} != {(spec.name, spec.dtype) for spec in found}:
        raise ArtifactError(f"{path}: the {what} of the model file are not those that the manifest tells of; compile it again.")
