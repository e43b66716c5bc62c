"""`edgewright bench --emulate`: accuracy on an emulated arm64 CPU, or how far answers there differ from here; no latency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UsageError
from ..core.progress import Progress
from ..device_profiles.profile import DeviceProfile
from ..runtimes.bench.here import Case, file_digest, own_profile, parts
from ..runtimes.bench.opening import ModelFile, naming, open_model
from ..runtimes.bench.record import EMULATED, BenchReport, BenchResult, Figure
from .bench_accuracy import Examination, with_worth

if TYPE_CHECKING:
    from ..core.executor import Executor
    from ..runtimes.emulated.emulator import EmulatedCpu, Emulator

_SAMPLES = 32
_CONFIDENCE = 0.95


def refuse_with_emulate(**given: object) -> None:
    """Raise UsageError for options that time something, or that take the answers elsewhere."""
    for name, value in given.items():
        if value:
            raise UsageError(
                f"--{name} has nothing to say of an emulated CPU, which is never timed; leave it out with --emulate."
            )


def emulated_report(
    folder: Path,
    cases: Sequence[Case],
    profile: DeviceProfile | None,
    examination: Examination | None,
    seed: int,
    progress: Progress,
) -> BenchReport:
    """One result a case, without a measurement.

    `folder` is a root of `edgewright emulation prepare`. Raises UsageError where it has no CPU with the kernels of the profile,
    an artifact's own by default, RuntimeFailure when a file fails there.
    """
    from ..runtimes.emulated.emulator import Emulator

    emulator = Emulator.open(folder)
    opened = [(case, open_model(case.file)) for case in cases]
    wanted = [_profile(case.file, model, profile) for case, model in opened]
    found = []
    with progress.task("bench", len(cases)) as advance:
        for (case, model), device in zip(opened, wanted, strict=True):
            cpu = _cpu(emulator, device, model.runtime)
            threads = case.threads or model.threads
            with naming(case.file):
                figures = _figures(case.file, model, threads, cpu, examination, seed, progress)
            found.append(
                BenchResult(
                    file=str(case.file),
                    name=model.name,
                    sha256=file_digest(case.file),
                    bytes=sum(part.stat().st_size for part in parts(case.file)),
                    runtime=model.runtime,
                    measured_on="emulated",
                    place=EMULATED,
                    threads=threads,
                    batch=case.batch,
                    profile=device.name,
                    accuracy=with_worth(figures, "emulated"),
                )
            )
            advance(1)
    return BenchReport(tuple(found), ())


def _profile(file: Path, model: ModelFile, profile: DeviceProfile | None) -> DeviceProfile:
    device = profile or own_profile(model)
    if device is None:
        raise UsageError(f"{file} does not say for which device it is; name one with --profile, for example raspberry-pi-4b.")
    return device


def _cpu(emulator: Emulator, profile: DeviceProfile, runtime: str) -> EmulatedCpu:
    cpu = emulator.location(profile, runtime)
    if cpu is None:
        raise UsageError(f"no CPU that {emulator.root.folder} emulates runs {profile.name}'s kernels of {runtime}.")
    return cpu


def _figures(
    file: Path,
    model: ModelFile,
    threads: int,
    cpu: EmulatedCpu,
    examination: Examination | None,
    seed: int,
    progress: Progress,
) -> dict[str, Figure]:
    """Metrics on data, or differences on random inputs."""
    from ..runtimes.remote import RemoteExecutor

    with RemoteExecutor(model.runtime, threads, cpu) as there:
        there.load(model.files, model.entry)
        if examination is not None:
            return examination.of(there, progress, file.name)
        with RemoteExecutor(model.runtime, threads) as here:
            here.load(model.files, model.entry)
            return differences(here, there, seed)


def differences(here: Executor, there: Executor, seed: int) -> dict[str, Figure]:
    """How far the first output of the same file differs between two places, on random inputs.

    "difference": the largest, as a share of what the answers here spread over; "same-class": the share of samples whose largest
    answer is the same one, with its exact interval, where there are several answers to a sample.
    """
    import numpy as np

    from ..runtimes.bench.batches import batch_size, example_inputs
    from ..stats.paired import proportion_bounds

    name = here.outputs[0].name
    rounds = -(-_SAMPLES // batch_size(here.inputs))
    inputs = [example_inputs(here, seed + index) for index in range(rounds)]
    ours, theirs = (np.concatenate([place.run(batch)[name] for batch in inputs]).astype(np.float64) for place in (here, there))
    n = len(ours)
    ours, theirs = ours.reshape(n, -1), theirs.reshape(n, -1)
    spread = float(np.ptp(ours)) or 1.0
    figures = {"difference": Figure(float(np.abs(theirs - ours).max()) / spread, None, None, _CONFIDENCE, n)}
    if ours.shape[1] > 1:
        same = int(np.sum(ours.argmax(axis=1) == theirs.argmax(axis=1)))
        low, high = proportion_bounds(same, n, (1 - _CONFIDENCE) / 2)
        figures["same-class"] = Figure(same / n, float(low), float(high), _CONFIDENCE, n)
    return figures
