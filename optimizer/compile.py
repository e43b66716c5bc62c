"""`compile`: the story told in order, from a trained model to artifacts and a report."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ..calibration.classes import classes_note, unlabelled_note
from ..calibration.dataset import Dataset, Split
from ..core.artifact import SUFFIX
from ..core.artifact_write import write_artifact
from ..core.errors import RuntimeFailure, StoreError, UsageError
from ..core.files import moved_in, try_writing, write_atomic
from ..core.manifest import DataRecord, SourceRecord
from ..core.progress import Progress, Silent
from ..core.store import StepStore
from ..device_profiles.loader import load
from ..device_profiles.profile import DeviceProfile
from ..ir.model import Model
from ..runtimes import registry
from ..runtimes.bench.memory import peak_memory_bytes
from . import prepare
from .arguments import recipe_of
from .build import Builder, Built, Calibration
from .evaluate import Evaluator, Outputs
from .exam import Exam, prepare_exam
from .gates.ledger import Ledger
from .ingest.ingest import Ingested
from .kit import Kit
from .measure import Measurements
from .outcome import Shared, Target
from .package import Origin, bins_of, content_of
from .recipe import Recipe
from .release import Decision, decide
from .report.types import CompileReport
from .report.write import write_report
from .summary import report_of
from .trial import Trial, sample_of, try_all

_REFERENCE = "onnxruntime"
EXIT_CODES = {"passed": 0, "failed": 2, "undecided": 3}


@dataclass(frozen=True, repr=False)
class CompileResult:
    """`artifacts` maps profile to file for what was released; `exit_code` is 0, 2 (a gate failed) or 3 (undecided)."""

    report: CompileReport
    artifacts: Mapping[str, Path]
    report_path: Path
    page_path: Path
    exit_code: int

    def __repr__(self) -> str:
        """What each profile got, in one line."""
        told = []
        for target in self.report.targets:
            winner = target.winner
            told.append(f"{target.profile}: {target.verdict if winner is None else f'{winner.precision} in {winner.runtime}'}")
        return f"CompileResult({', '.join(told)})"


def compile(
    model: Any,
    *,
    data: Any = None,
    profiles: str | Path | Sequence[str | Path] = (),
    gates: str | Sequence[str] = (),
    out: str | Path = "dist",
    progress: Progress | None = None,
    **options: Any,
) -> CompileResult:
    """Compile `model` for `profiles`, proven on `data` by `gates`.

    `model` is a path, `package.module:factory`, a torch module or a Keras model; `data` a path, `module:function`, `(x, y)`, a
    data set, or a mapping of arrays. Raises EdgewrightError for bad input, and UsageError for an option that is unknown or of
    another type; a gate that does not pass is a result, not an error. `options` are, as on the command line:

    - name, weights (a path, or the state itself for `module:factory`), shapes ({"x": (1, 3, 224, 224)}), trust (False)
    - objective ("latency", "size", "ram"), precisions and runtimes (one or several; all), threads (the profile's), seed (0)
    - preprocess, labels, classes (names in the model's order, or a file), inputs ({"image": "x"}), group
    - accept, search, calib, audit (data of their own; audit also a share or a number)
    - search_samples (512), calib_samples (256)
    - store (".edgewright"), ledger, measurements (paths)
    """
    named = {"data": data, "profiles": profiles, "gates": gates, "out": out}
    return compile_recipe(recipe_of(model, {**named, **options}), progress or Silent())


def compile_recipe(recipe: Recipe, progress: Progress) -> CompileResult:
    """Carry out a recipe; see `compile`."""
    start = time.perf_counter()
    profiles = _profiles(recipe)
    _check_out(recipe.out)
    store = StepStore(recipe.store)
    Ledger(_ledger_path(recipe)).check()
    raw = prepare.open_data(recipe)
    prepare.check_gates(recipe, raw)
    ingested = prepare.ingest_model(recipe, raw, progress)
    base, pipeline = prepare.prepare_model(ingested)
    data = prepare.bind_data(recipe, raw, base)
    evaluator = Evaluator(store, recipe.threads or 1, progress)
    try:
        work = _Work(recipe, store, evaluator, progress, base, pipeline)
        targets, shared = work.run(data, profiles)
    finally:
        evaluator.close()
    return _write(recipe, ingested, work, shared, targets, start)


class _Work:
    """The steps between a prepared model and decisions."""

    def __init__(
        self, recipe: Recipe, store: StepStore, evaluator: Evaluator, progress: Progress, base: Model, pipeline: str
    ) -> None:
        self.recipe, self.store, self.evaluator, self.progress = recipe, store, evaluator, progress
        self.base, self.pipeline = base, pipeline
        self.measurements = Measurements(store, recipe.measurements)
        self._calib: Split | None = None
        self._calibrated: Calibration | None = None
        self.builder = Builder(store, base, pipeline, self._calibration)

    def _calibration(self) -> Calibration:
        if self._calib is None:
            raise UsageError("calibration was asked for before the data were split.")
        if self._calibrated is None:
            self._calibrated = prepare.calibrate(self.store, self.base, self._calib, self.progress)
        return self._calibrated

    def run(self, data: Dataset, profiles: Sequence[DeviceProfile]) -> tuple[list[Target], Shared]:
        reference = self.builder.build(_REFERENCE, _reference_profile(), "float32")
        shared = self._share(data, reference)
        kit = Kit(
            builder=self.builder,
            evaluator=self.evaluator,
            measurements=self.measurements,
            search=shared.search,
            gates=shared.gates,
            seed=self.recipe.seed,
            threads=self.recipe.threads,
            progress=self.progress,
        )
        ledger = Ledger(_ledger_path(self.recipe))
        return [self._target(kit, profile, shared.accept, ledger) for profile in profiles], shared

    def _share(self, data: Dataset, reference: Built) -> Shared:
        first = Split("first", data, tuple(range(min(64, len(data)))))
        output = self.base.outputs[0].name
        gates = prepare.choose_gates(self.recipe, data, self.evaluator.outputs(reference, first)[output])
        warnings = prepare.check_data(data, gates)
        wanted = prepare.samples_wanted(gates, data)
        splits = prepare.split_data(self.recipe, data, self.base, wanted)
        if splits.accept.data is not data:
            warnings += prepare.check_data(splits.accept.data, gates)
        self._calib = splits.calib
        told = ", ".join(f"'{gate}'" for gate in gates)
        chosen = "" if self.recipe.gates else " (chosen by default)"
        notes = [
            f"gates{chosen}: {told}; about {wanted} samples decide them, accept has {len(splits.accept)}, "
            f"search {len(splits.search)}, calib {len(splits.calib)}"
            + (f", audit {len(splits.audit)} set aside" if splits.audit is not None else ""),
            *unlabelled_note(data),
            *classes_note(data, bool(self.recipe.classes)),
            *warnings,
        ]
        answers = {split.name: self.evaluator.outputs(reference, split) for split in (splits.search, splits.accept)}
        search, accept = (prepare_exam(split, answers[split.name], output, gates) for split in (splits.search, splits.accept))
        notes += prepare.check_reference(answers["accept"][output], accept.labels, gates)
        for note in notes:
            self.progress.note(note)
        return Shared(
            data=data,
            gates=gates,
            search=search,
            accept=accept,
            bins=tuple(bins_of(splits.search, answers["search"], self.base.outputs)),
            splits={split.name: len(split) for split in splits.parts()},
            notes=tuple(notes),
        )

    def _target(self, kit: Kit, profile: DeviceProfile, accept: Exam, ledger: Ledger) -> Target:
        start = time.perf_counter()
        asked = self.recipe.precisions
        # float32 is always tried: it is what nothing may be slower than, and what sizes are told against.
        tried = asked if "float32" in asked else ("float32", *asked)
        trials = try_all(kit, profile, self.recipe.runtimes, tried)
        threads = kit.threads_for(profile)

        ram: dict[str, int] = {}

        def ram_bytes(trial: Trial) -> int:
            if trial.key not in ram and trial.built is not None:
                ram[trial.key] = self._ram_bytes(kit, trial.built, threads)
            return ram.get(trial.key, sys.maxsize)

        decision = decide(kit, profile, trials, self.recipe.objective, asked, accept, ledger, ram_bytes)
        chosen = decision.chosen
        if chosen is not None and chosen.latency is not None:
            ram_bytes(chosen)
        known = {key: size for key, size in ram.items() if size < sys.maxsize}
        operators = self._operators(kit, decision, threads)
        return Target(profile, tuple(trials), decision, threads, time.perf_counter() - start, operators, known)

    def _ram_bytes(self, kit: Kit, built: Built, threads: int) -> int:
        """Memory that loading and running adds to a fresh process; a candidate that fails there comes last."""
        try:
            return int(
                self.measurements.get(
                    "ram",
                    (built.digest,),
                    threads,
                    lambda: peak_memory_bytes(built.runtime, built.files, built.entry, threads, sample_of(kit)),
                    (built.runtime,),
                )
            )
        except RuntimeFailure:
            return sys.maxsize

    def accept_outputs(self, target: Target, shared: Shared) -> dict[str, Outputs]:
        """What each candidate that looked at `accept` answered there (from the store)."""
        return {
            look.trial.key: self.evaluator.outputs(look.trial.built, shared.accept.split, look.trial.environment)
            for look in target.decision.looks
            if look.trial.built is not None and all(verdict.n > 0 for verdict in look.verdicts)
        }

    def _operators(self, kit: Kit, decision: Decision, threads: int) -> Sequence[tuple[str, str, float]]:
        """Time by operator of what was chosen, where it was timed at all."""
        trial = decision.chosen
        if trial is None or trial.built is None or trial.latency is None:
            return ()
        built = trial.built
        try:
            rows = self.measurements.get(
                "operators",
                (built.digest,),
                threads,
                lambda: [
                    list(row)
                    for row in registry.get(built.runtime).profile_operators(
                        built.files, built.entry, threads, sample_of(kit), runs=20
                    )
                ],
                (built.runtime,),
            )
        except RuntimeFailure:
            return ()
        return [(built.debug_map.get(name) or str(name), str(kind), float(time_us)) for name, kind, time_us in rows]


def _write(
    recipe: Recipe, ingested: Ingested, work: _Work, shared: Shared, targets: Sequence[Target], start: float
) -> CompileResult:
    """Artifacts, measurements and the report: all of them appear together, or nothing changes.

    What an earlier compile released for a profile that now is not released must not pass for this one's: it is set aside.
    """
    names = (name_of(recipe), _title(recipe.data if recipe.data is not None else recipe.accept))
    origin = Origin(
        name=names[0],
        source=SourceRecord(names[0], ingested.source_format, ingested.source_digest),
        data=DataRecord(names[1], shared.data.digest, shared.splits),
        seed=recipe.seed,
        preprocessing=prepare.preprocessing_json(shared.data),
        inputs=work.base.inputs,
        outputs=work.base.outputs,
        versions=versions_of(ingested),
    )
    released = [target for target in targets if target.decision.chosen is not None]
    artifacts = {target.profile.name: recipe.out / artifact_name(recipe, target.profile) for target in released}
    report = report_of(
        names,
        recipe.seed,
        ingested,
        work.base,
        shared,
        targets,
        {profile: path.name for profile, path in artifacts.items()},
        {target.profile.name: work.accept_outputs(target, shared) for target in targets},
        origin.versions,
        time.perf_counter() - start,
    )
    set_aside = [artifact_name(recipe, target.profile) for target in targets if target.decision.chosen is None]
    samples = shared.search.split
    with moved_in(recipe.out, set_aside) as made:
        for target in released:
            figures = _figures(target)
            content = content_of(origin, target.profile, target.decision, target.threads, samples, shared.bins, figures)
            write_artifact(made / artifact_name(recipe, target.profile), content)
        write_atomic(made / "measurements.json", work.measurements.to_bytes())
        report_path, page_path = (recipe.out / path.name for path in write_report(report, made))
    statuses = {target.decision.status for target in targets}
    code = next((EXIT_CODES[status] for status in ("failed", "undecided") if status in statuses), 0)
    return CompileResult(report, artifacts, report_path, page_path, code)


def _figures(target: Target) -> dict[str, Any]:
    """What measurements.json in the artifact holds."""
    trial, ratio = target.decision.chosen, target.decision.ratio
    latency = trial.latency if trial is not None else None
    return {
        "latency_ms": None if latency is None else {"p50": latency.p50_ms, "p90": latency.p90_ms, "p99": latency.p99_ms},
        "measurement": None if latency is None else latency.to_json(),
        "ratio_to_best_float": None if ratio is None else ratio.to_json(),
    }


def name_of(recipe: Recipe) -> str:
    """The model's name: as given, else from its file or factory."""
    return recipe.name or _title(recipe.model)


def artifact_name(recipe: Recipe, profile: DeviceProfile) -> str:
    """File name of a profile's artifact."""
    return f"{name_of(recipe)}-{profile.name}{SUFFIX}"


def versions_of(ingested: Ingested) -> dict[str, str]:
    """Versions of everything that took part."""
    from .. import __version__

    runtimes = {name: registry.get(name).version() for name in registry.NAMES}
    return {**ingested.versions, **runtimes, "numpy": metadata.version("numpy"), "edgewright": __version__}


def _title(source: Any) -> str:
    if isinstance(source, Path):
        return source.stem
    if isinstance(source, Mapping):
        return "arrays in memory"
    if isinstance(source, str):
        return source.rpartition(":")[2] if ":" in source else Path(source).stem
    return type(source).__name__.lower()


def _profiles(recipe: Recipe) -> list[DeviceProfile]:
    """The profiles, each once, each with a runtime to try; raises ProfileError, UsageError."""
    profiles = [load(name) for name in recipe.profiles]
    for index, profile in enumerate(profiles):
        if profile.name in {other.name for other in profiles[:index]}:
            raise UsageError(f"the profile {profile.name!r} is given twice, and an artifact has one; name it once.")
        if not set(profile.runtimes) & set(recipe.runtimes):
            asked, known = " or ".join(recipe.runtimes), ", ".join(profile.runtimes)
            raise UsageError(f"the profile {profile.name!r} does not run {asked}; ask for one of {known}.")
    return profiles


def _check_out(out: Path) -> None:
    """The output folder must be writable before hours of work; raises StoreError."""
    if out.exists() and not out.is_dir():
        raise StoreError(f"the output folder {out} is a file; give another with --out.")
    try:
        try_writing(out)
    except OSError as error:
        raise StoreError(
            f"cannot write {out}: {error.strerror or error}; free some space or give a writable folder with --out."
        ) from error


def _ledger_path(recipe: Recipe) -> Path:
    """As given, else beside the judging data; in the store where the data are no file."""
    if recipe.ledger is not None:
        return Path(recipe.ledger)
    source = recipe.accept if recipe.accept is not None else recipe.data
    if isinstance(source, (str, Path)) and Path(source).exists():
        path = Path(source)
        return path.parent / f"{path.name}.ledger.jsonl"
    return recipe.store / "ledger.jsonl"


def _reference_profile() -> DeviceProfile:
    return load("x86-64-avx2")
