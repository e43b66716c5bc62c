"""Trying the candidates of one profile: built, run on the search split, judged, timed where this machine is the target."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.errors import EdgewrightError, LoweringError, PassError, RuntimeFailure
from ..device_profiles.profile import DeviceProfile
from ..runtimes import registry
from ..runtimes.bench.latency import measure
from ..runtimes.bench.measurement import Measurement
from ..runtimes.contract import Precision
from ..runtimes.location import Here, Location
from .build import Built
from .evaluate import Outputs
from .exam import is_inside
from .gates.verdict import MeasuredOn, Verdict, overall
from .improve import choose_quantization
from .judging import judging
from .kit import Kit, Start
from .quantize.quantize import Quantize


@dataclass(frozen=True)
class Trial:
    """One candidate. `built` is None when it could not be built or run; `why` then says so. `verdicts` are on `search`.

    `variant` is the name of what it was made by, "" for the plain model. `location` is where it was run.
    """

    runtime: str
    precision: Precision
    measured_on: MeasuredOn | None
    variant: str = ""
    built: Built | None = None
    location: Location = field(default_factory=Here)
    verdicts: tuple[Verdict, ...] = ()
    outputs: Outputs = field(default_factory=dict)
    latency: Measurement | None = None
    why: str = ""
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def key(self) -> str:
        """Name within its profile."""
        return "/".join(part for part in (self.runtime, self.precision, self.variant) if part)

    @property
    def is_eligible(self) -> bool:
        """Whether it may be released if `accept` agrees: it ran, its accuracy counts for the profile, `search` likes it."""
        return self.built is not None and self.measured_on is not None and is_inside(self.verdicts)

    @property
    def status(self) -> str:
        """Overall verdict on `search`."""
        return "failed" if self.built is None else overall(self.verdicts)


def try_all(
    kit: Kit, profile: DeviceProfile, runtimes: Sequence[str], precisions: Sequence[Precision], starts: Sequence[Start]
) -> list[Trial]:
    """One trial a start, runtime of the profile and precision, in the profile's order of runtimes.

    float32 of the plain model is always tried: it is what nothing may be slower than, and what sizes are told against.
    """
    wanted = [
        (start, runtime, precision)
        for start in starts
        if start.builder is not None
        for runtime in profile.runtimes
        if runtime in runtimes
        for precision in _precisions(start, precisions)
    ]
    trials = []
    with kit.progress.task(f"candidates for {profile.name}", len(wanted)) as advance:
        for start, runtime, precision in wanted:
            began = time.perf_counter()
            trials.append(replace(_try_one(kit, profile, runtime, precision, start), seconds=time.perf_counter() - began))
            advance(1)
    return trials


def _precisions(start: Start, asked: Sequence[Precision]) -> list[Precision]:
    """Those that are worth a trial: where nothing comes before quantizing, the floats are the plain model's."""
    if start.variant.is_quantized:
        return [precision for precision in asked if precision == "int8"]
    if not start.variant.name:
        return [*asked] if "float32" in asked else ["float32", *asked]
    return [precision for precision in asked if precision == "int8" or start.variant.passes or start.variant.keras_step]


def sample_of(kit: Kit) -> dict[str, Any]:
    """The first sample of the search split: what is timed."""
    batch = next(kit.search.split.batches(1))
    return dict(batch.inputs)


def _try_one(kit: Kit, profile: DeviceProfile, runtime: str, precision: Precision, start: Start) -> Trial:
    kit = replace(kit, builder=start.builder or kit.builder)
    here, judged = judging(profile, runtime, precision), judging(profile, runtime, precision, kit.emulator)
    worth = judged.worth
    trial = Trial(runtime, precision, worth, start.variant.name, location=judged.location)
    # An emulation takes many times as long: what only chooses is run here, if this machine sums the same integers.
    chosen_at = judged.location if here.worth is None else here.location
    try:
        notes: tuple[str, ...] = ()
        if precision == "int8" and not start.variant.is_quantized:
            options, notes = choose_quantization(kit, profile, runtime, chosen_at, start.variant.quantize or Quantize())
            built = kit.builder.build(runtime, profile, precision, options)
        else:
            built = kit.builder.build(runtime, profile, precision)
        outputs = kit.evaluator.outputs(built, kit.search.split, judged.location)
    except (LoweringError, RuntimeFailure, PassError) as error:
        return replace(trial, why=str(error))
    except EdgewrightError:
        raise  # a full disk, say: the others would not fare better
    except Exception as error:  # a mistake of ours in one candidate: the others go on without it
        said = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": .")
        return replace(trial, why=f"{trial.key} stopped on a mistake of the compiler ({said}); report it.")
    verdicts = kit.judge(outputs, worth)
    missing: dict[str, str] = {}
    latency = None
    if trial.variant and not is_inside(verdicts):
        missing["latency_ms"] = "not timed: it does not hold on search"
    elif judged.is_timed:
        try:
            latency = _latency(kit, profile, built)
        except RuntimeFailure as error:
            missing["latency_ms"] = f"timing failed: {error}"
    else:
        missing["latency_ms"] = f"this machine is no {profile.name}; measure it on the device"
    if worth is None:
        missing["measured_on"] = "integer products saturate on this machine, which the target's do not"
    return replace(
        trial,
        built=built,
        verdicts=tuple(verdicts),
        outputs=outputs,
        latency=latency,
        missing=missing,
        notes=notes,
        why=_why(verdicts, worth),
    )


def _latency(kit: Kit, profile: DeviceProfile, built: Built) -> Measurement:
    threads = kit.threads_for(profile)

    def run() -> dict[str, Any]:
        runtime = registry.get(built.runtime)
        executor = runtime.load(built.files, built.entry, threads)
        try:
            with kit.progress.task(f"timing {built.runtime} {built.precision}"):
                found = measure(executor, sample_of(kit), runtime=built.runtime, version=runtime.version(), threads=threads)
        finally:
            executor.close()
        return found.to_json()

    return Measurement.from_json(kit.measurements.get("latency", (built.digest,), threads, run, (built.runtime,)))


def _why(verdicts: Sequence[Verdict], worth: MeasuredOn | None) -> str:
    if worth is None:
        return "its accuracy cannot be judged on this machine: integer products saturate here and not on the target."
    bad = next((verdict for verdict in verdicts if verdict.status not in ("passed", "reported")), None)
    return "" if bad is None else bad.why
