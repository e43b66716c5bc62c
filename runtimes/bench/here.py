"""Measuring a model file on this machine: from a path to a `BenchResult`."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from ...core.canonical import digest_file, digest_json
from ...core.errors import UsageError
from ...core.executor import Executor
from ...device_profiles import loader
from ...device_profiles.host import measured_on
from ...device_profiles.profile import DeviceProfile
from .batches import batch_size, example_inputs
from .latency import Budget, measure
from .memory import peak_memory_bytes
from .opening import ModelFile, load_model, naming, open_model, runtime_version
from .record import HERE, BenchResult


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing to measure: a file, the threads within an operator (None: the artifact's own, else 1), the samples of a run."""

    file: Path
    threads: int | None = None
    batch: int = 1


def bench_here(case: Case, *, profile: DeviceProfile | None = None, budget: Budget | None = None, seed: int = 0) -> BenchResult:
    """Measure `case` in this process and its memory in a fresh one; `measured_on` is what that is worth for `profile`.

    Without one it is the profile that an artifact was compiled for, where that comes with this package.
    Raises UsageError for a batch that the file does not take or a runtime that is not installed, RuntimeFailure, ArtifactError.
    """
    model = open_model(case.file)
    profile = profile or own_profile(model)
    threads = case.threads or model.threads
    version = runtime_version(model.runtime)
    with naming(case.file), executing(model, threads) as executor:
        check_batch(case, executor)
        inputs = example_inputs(executor, seed, case.batch)
        growth = peak_memory_bytes(model.runtime, model.files, model.entry, threads, inputs)
        measurement = measure(
            executor,
            inputs,
            runtime=model.runtime,
            version=version,
            threads=threads,
            budget=budget,
            rss_growth_bytes=growth,
        )
    return BenchResult(
        file=str(case.file),
        name=model.name,
        sha256=file_digest(case.file),
        bytes=sum(part.stat().st_size for part in parts(case.file)),
        runtime=model.runtime,
        measured_on=measured_on(profile, model.runtime, "latency") if profile is not None else None,
        place=HERE,
        threads=threads,
        batch=case.batch,
        profile=profile.name if profile is not None else None,
        measurement=measurement,
    )


def own_profile(model: ModelFile) -> DeviceProfile | None:
    """The profile that an artifact was compiled for, where one of that name and CPU comes with this package."""
    target = model.target
    if target is None or target.profile not in loader.known():
        return None
    found = loader.load(target.profile)
    return found if (found.arch, found.isa) == (target.arch, frozenset(target.isa)) else None


@contextlib.contextmanager
def executing(model: ModelFile, threads: int) -> Iterator[Executor]:
    """An executor that is closed at the end of the block."""
    executor = load_model(model, threads)
    try:
        yield executor
    finally:
        executor.close()


def check_batch(case: Case, executor: Executor) -> None:
    """Raises UsageError when the file fixes another batch."""
    fixed = batch_size(executor.inputs, case.batch)
    if fixed != case.batch:
        raise UsageError(
            f"{case.file} takes batches of {fixed}, not of {case.batch}; give --batch {fixed}, or export it with that batch."
        )


def parts(path: Path) -> tuple[Path, ...]:
    """The files that make up a model file: an .xml has its weights beside it."""
    return (path, path.with_suffix(".bin")) if path.suffix == ".xml" else (path,)


def file_digest(path: Path) -> str:
    """SHA-256 of the file; of the list of both files' digests for an .xml with its weights."""
    digests = [digest_file(part) for part in parts(path)]
    return digests[0] if len(digests) == 1 else digest_json(digests)
