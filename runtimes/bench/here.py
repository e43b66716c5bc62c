"""Measuring a model file on this machine: from a path to a `BenchResult`."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from ...core.canonical import digest_file, digest_json
from ...core.errors import RuntimeFailure, UsageError
from ...core.executor import Executor
from ...core.progress import Progress, Silent
from ...device_profiles import loader
from ...device_profiles.host import measured_on
from ...device_profiles.profile import DeviceProfile
from .batches import batch_size, example_inputs
from .compare import compare
from .cost import cost_of
from .fresh import fresh_start
from .latency import Budget, measure
from .measurement import Measurement
from .opening import ModelFile, load_model, naming, open_model, runtime_version
from .operators import operator_times, profiler_of
from .record import HERE, BenchResult


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing to measure: a file, the threads within an operator (None: the artifact's own, else 1), the samples of a run."""

    file: Path
    threads: int | None = None
    batch: int = 1


def check(case: Case, *, operators: bool = False) -> None:
    """Load the file once: raises what `bench_here` would, before anything was measured."""
    model = open_model(case.file)
    runtime_version(model.runtime)
    if operators:
        profiler_of(model.runtime)
    with naming(case.file), executing(model, case.threads or model.threads) as executor:
        _check_batch(case, executor)


def bench_here(
    case: Case,
    *,
    profile: DeviceProfile | None = None,
    budget: Budget | None = None,
    starts: int = 3,
    operators: bool = False,
    varied_inputs: bool = False,
    price_per_kwh: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> BenchResult:
    """Measure `case` in this process and in `starts` fresh ones (0: nothing of cold starts and memory).

    `measured_on` is what its latency is worth for `profile`; without one, an artifact's own where this package has it.
    `operators` asks the runtime where the time goes, `varied_inputs` gives each window an input of its own.
    Raises UsageError for a batch that the file does not take or a runtime that is not installed, RuntimeFailure, ArtifactError.
    """
    model = open_model(case.file)
    profile = profile or own_profile(model)
    threads = case.threads or model.threads
    version = runtime_version(model.runtime)
    known = described(case, model, profile, HERE)
    with naming(case.file), executing(model, threads) as executor:
        _check_batch(case, executor)
        plan = budget or Budget()
        count = plan.windows if varied_inputs else 1
        inputs = [example_inputs(executor, seed + index, case.batch) for index in range(count)]
        measurement = measure(
            executor,
            inputs,
            runtime=model.runtime,
            version=version,
            threads=threads,
            budget=plan,
            batch=case.batch,
            progress=progress,
        )
        times = operator_times(model, threads, inputs[0]) if operators else None
    worth = measured_on(profile, model.runtime, "latency") if profile is not None else None
    return dataclasses.replace(
        known,
        measured_on=worth,
        measurement=_started(measurement, case, threads, starts, progress),
        operators=times,
        cost=cost_of(measurement.throughput, profile, price_per_kwh) if worth == "target" else None,
    )


def described(case: Case, model: ModelFile, profile: DeviceProfile | None, place: str) -> BenchResult:
    """What is known of a case before anything is measured; raises OSError when the file is gone."""
    return BenchResult(
        file=str(case.file),
        name=model.name,
        sha256=file_digest(case.file),
        bytes=sum(part.stat().st_size for part in parts(case.file)),
        runtime=model.runtime,
        measured_on=None,
        place=place,
        threads=case.threads or model.threads,
        batch=case.batch,
        profile=profile.name if profile is not None else None,
    )


def against_other(result: BenchResult, file: Path, rounds: int, seed: int) -> BenchResult:
    """The result with the ratio of its time to that of another file, timed in turns with as many threads and samples a run."""
    with naming(file):
        check(Case(file, result.threads, result.batch))
        mine, other = open_model(Path(result.file)), open_model(file)
        with executing(mine, result.threads) as ours, executing(other, result.threads) as its:
            inputs, others = example_inputs(ours, seed, result.batch), example_inputs(its, seed, result.batch)
            ratio = compare(ours, its, inputs, rounds, reference_inputs=others, seed=seed)
    return dataclasses.replace(result, against={"file": str(file), **ratio.to_json()})


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


def parts(path: Path) -> tuple[Path, ...]:
    """The files that make up a model file: an .xml has its weights beside it."""
    return (path, path.with_suffix(".bin")) if path.suffix == ".xml" else (path,)


def file_digest(path: Path) -> str:
    """SHA-256 of the file; of the list of both files' digests for an .xml with its weights."""
    digests = [digest_file(part) for part in parts(path)]
    return digests[0] if len(digests) == 1 else digest_json(digests)


def _started(found: Measurement, case: Case, threads: int, starts: int, progress: Progress | None) -> Measurement:
    """With what fresh processes tell."""
    if starts == 0:
        return found
    told = []
    with (progress or Silent()).task("starting", starts) as advance:
        for _ in range(starts):
            told.append(fresh_start(case.file, threads, case.batch))
            advance(1)
    grown = tuple(item.growth_bytes for item in told)
    cold, first = tuple(item.cold_ms for item in told), tuple(item.first_ms for item in told)
    return dataclasses.replace(
        found,
        rss_growth_bytes=int(median(grown)),
        rss_growths_bytes=grown,
        process_peak_bytes=max(item.peak_bytes for item in told),
        cold_start_ms=median(cold),
        cold_starts_ms=cold,
        first_ms=median(first),
        first_runs_ms=first,
    )


def _check_batch(case: Case, executor: Executor) -> None:
    try:
        fixed = batch_size(executor.inputs, case.batch)
    except RuntimeFailure as error:
        raise UsageError(f"{case.file}: {error}") from error
    if fixed != case.batch:
        raise UsageError(
            f"{case.file} takes batches of {fixed}, not of {case.batch}; give --batch {fixed}, or export it with that batch."
        )
