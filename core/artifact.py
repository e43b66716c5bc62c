"""The `.ewa` artifact: one file with a lowered model, its manifest, test vectors and measurements.

Members, in this order (docs/artifact.md): manifest.json, then by name model/* and test_vectors/{inputs,outputs}/<index>.npy,
then measurements.json and seal.json. The manifest lists the digest of every member between; the seal that of the
measurements and the `content_digest`, which is over everything but measurements and seal: same inputs, same content digest,
whatever the clock said. The digest of the file as a whole is `Artifact.digest`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from . import artifact_arrays
from .canonical import digest, digest_json
from .errors import ArtifactError
from .executor import TensorSpec
from .manifest import Manifest, Member, Tolerance

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIX = ".ewa"
MANIFEST, MEASUREMENTS, SEAL = "manifest.json", "measurements.json", "seal.json"
MODEL_FOLDER, INPUTS_FOLDER, OUTPUTS_FOLDER = "model/", "test_vectors/inputs/", "test_vectors/outputs/"
SEAL_VERSION = 1


@dataclass(frozen=True, eq=False)
class TestVectors:
    """Inputs and expected outputs by tensor name, each [samples, ...] in the order of the samples.

    An output is as expected when |output - expected| <= absolute + relative * |expected| everywhere, by its own tolerance
    of `tolerances`. `arithmetic` says in words whose kernels gave the expected outputs.
    """

    __test__ = False  # pytest takes a class of this name for a test

    inputs: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, NDArray[Any]]
    tolerances: Mapping[str, Tolerance]
    arithmetic: str

    @property
    def samples(self) -> int:
        """Number of samples."""
        return min((len(array) for array in self.inputs.values() if array.ndim), default=0)

    def check(self, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]) -> None:
        """Names, types, shapes and finiteness against the model's specifications; raises ArtifactError."""
        import numpy as np

        for what, specs, arrays in (("input", tuple(inputs), self.inputs), ("output", tuple(outputs), self.outputs)):
            if set(arrays) != {spec.name for spec in specs}:
                raise ArtifactError(
                    f"the test vectors have {what}s {sorted(arrays)}, the model {sorted(s.name for s in specs)}."
                )
            for spec in specs:
                array = arrays[spec.name]
                # An output without a batch axis has one sample a run, stacked.
                forms = [spec.shape[1:]] if spec.shape else []
                forms += [spec.shape] if what == "output" else []
                fits = array.ndim > 0 and len(array) == self.samples > 0
                if not fits or not any(_matches(array.shape[1:], form) for form in forms):
                    raise ArtifactError(
                        f"the test vectors' {what} {spec.name!r} has shape {array.shape}, which does not fit {spec.shape} "
                        f"for {self.samples} samples."
                    )
                if array.dtype.name not in artifact_arrays.DTYPES:
                    raise ArtifactError(
                        f"the test vectors' {what} {spec.name!r} is {array.dtype.name}, and they hold numbers only."
                    )
                if array.dtype.name != spec.dtype:
                    raise ArtifactError(
                        f"the test vectors' {what} {spec.name!r} is {array.dtype.name}, the model's {spec.dtype}."
                    )
                if not np.isfinite(array).all():
                    raise ArtifactError(f"the test vectors' {what} {spec.name!r} has values that are not finite.")
        if set(self.tolerances) != set(self.outputs):
            raise ArtifactError(
                f"the test vectors have tolerances for {sorted(self.tolerances)}, and outputs {sorted(self.outputs)}."
            )

    def mismatch(self, outputs: Mapping[str, NDArray[Any]]) -> str | None:
        """One clause about the output that lies furthest outside its tolerance, or None when all are as expected."""
        import numpy as np

        worst: tuple[float, str] | None = None
        for name, expected in self.outputs.items():
            got = outputs.get(name)
            if got is None or got.shape != expected.shape or got.dtype != expected.dtype:
                there = "nothing" if got is None else f"{got.dtype.name} of shape {got.shape}"
                return f"output {name!r} is {there} where {expected.dtype.name} of shape {expected.shape} is expected"
            wide = np.abs(expected.astype(np.float64))
            gap = np.abs(got.astype(np.float64) - expected.astype(np.float64))
            excess = gap - (self.tolerances[name].absolute + self.tolerances[name].relative * wide)
            outside = ~(excess <= 0)  # also where the output is NaN
            if outside.any():
                share = float(outside.mean())
                largest = float(np.nan_to_num(excess, nan=np.inf).max())
                off = f"{float(gap.max()):.3g}" if np.isfinite(gap).all() else "not finite"
                clause = f"output {name!r} is outside the tolerance in {share:.2%} of its values (largest difference {off})"
                worst = max(worst or (0.0, ""), (largest, clause))
        return None if worst is None else worst[1]


@dataclass(frozen=True, eq=False)
class ArtifactContent:
    """What an artifact is made from. `files` are the lowered model's by name; the writer fills the manifest's digests."""

    manifest: Manifest
    files: Mapping[str, bytes]
    test_vectors: TestVectors
    measurements: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Artifact:
    """An artifact that was read and found whole.

    `files` are the model's by name as the runtime's `load` takes them; `digest` is SHA-256 of the file, `content_digest`
    that of all but the measurements; `size_bytes` is the file's.
    """

    manifest: Manifest
    files: Mapping[str, bytes]
    measurements: Mapping[str, Any]
    members: tuple[Member, ...]
    content_digest: str
    digest: str
    size_bytes: int
    vector_members: Mapping[str, bytes] = field(repr=False)

    @cached_property
    def test_vectors(self) -> TestVectors:
        """The test vectors, decoded when first asked for (needs numpy); raises ArtifactError."""
        record = self.manifest.test_vectors
        if record is None:
            raise ArtifactError("the manifest has no test vectors.")
        inputs = self._arrays(INPUTS_FOLDER, self.manifest.inputs)
        outputs = self._arrays(OUTPUTS_FOLDER, self.manifest.outputs)
        tolerances = dict(zip(outputs, record.tolerances, strict=True))
        vectors = TestVectors(inputs, outputs, tolerances, record.arithmetic)
        vectors.check(self.manifest.inputs, self.manifest.outputs)
        if vectors.samples != record.samples:
            raise ArtifactError(f"the manifest tells of {record.samples} test samples, and there are {vectors.samples}.")
        return vectors

    def _arrays(self, folder: str, specs: Iterable[TensorSpec]) -> dict[str, NDArray[Any]]:
        names = {spec.name: vector_name(folder, index) for index, spec in enumerate(specs)}
        return {tensor: artifact_arrays.decode(self.vector_members[name], name) for tensor, name in names.items()}


def told_tolerances(manifest: Manifest) -> str:
    """The tolerances of the test vectors in words, one for each output."""
    found = manifest.test_vectors.tolerances if manifest.test_vectors is not None else ()
    if len(found) == 1:
        return str(found[0])
    return ", ".join(f"{found} for {spec.name!r}" for spec, found in zip(manifest.outputs, found, strict=True))


def _matches(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(want in (None, size) for size, want in zip(shape, wanted, strict=True))


def vector_name(folder: str, index: int) -> str:
    """Name of the member that holds the tensor of that index in the manifest's list."""
    return f"{folder}{index:03d}.npy"


def vector_names(manifest: Manifest) -> list[str]:
    """Names of all members with test vectors."""
    inputs = [vector_name(INPUTS_FOLDER, index) for index in range(len(manifest.inputs))]
    return inputs + [vector_name(OUTPUTS_FOLDER, index) for index in range(len(manifest.outputs))]


def member(name: str, content: bytes) -> Member:
    """The record of a member."""
    return Member(name, len(content), digest(content))


def content_digest(members: Iterable[Member]) -> str:
    """SHA-256 over the canonical list of members, measurements and seal left out."""
    return digest_json([item.to_json() for item in members if item.name not in (MEASUREMENTS, SEAL)])


def seal(members: Iterable[Member]) -> dict[str, Any]:
    """The seal over the members before it."""
    listed = tuple(members)
    measured = next(item for item in listed if item.name == MEASUREMENTS)
    return {"seal_version": SEAL_VERSION, "content_digest": content_digest(listed), "measurements": measured.to_json()}
