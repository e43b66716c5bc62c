"""`compile`: the story told in order, from a trained model to artifacts and a report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from ..core.artifact import SUFFIX
from ..core.artifact_write import write_artifact
from ..core.errors import StoreError
from ..core.files import moved_in, try_writing, write_atomic
from ..core.freeing import freed_at_once, give_back
from ..core.manifest import DataRecord, SourceRecord
from ..core.progress import Progress, Silent
from ..core.store import StepStore
from ..device_profiles.profile import DeviceProfile
from ..runtimes import registry
from . import prepare
from .arguments import recipe_of
from .bins import answer_bins, input_places, with_surplus
from .companions import gather
from .declared import profiles_of
from .evaluate import Evaluator
from .gates.ledger import Ledger
from .gates.verdict import exit_code
from .ingest.ingest import Ingested
from .ingest.keras_step import check_keras_step
from .judging import open_emulator
from .outcome import Found, Target
from .package import Origin, content_of
from .recipe import Recipe
from .report.types import Candidate, CompileReport
from .report.write import write_report
from .summary import report_of
from .variants import variants_of
from .work import Work


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
            told.append(f"{target.profile}: {target.verdict if winner is None else f'{_named(winner)} in {winner.runtime}'}")
        return f"CompileResult({', '.join(told)})"


def _named(winner: Candidate) -> str:
    return f"{winner.precision} of {winner.variant}" if winner.variant else winner.precision


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
    - recipes ("safe", "small", "fast", "tiny"), pipelines (texts such as "prune{amount=0.5},distill,fold-bn,quantize"), tried
      beside the plain model; budget (of their training, "10m"), teacher and student (models)
    - keras_steps (texts such as "tfmot{kind=pqat}": TFMOT's own training of a Keras file, judged beside the rest)
    - loss, optimizer, augment (the user's own code for training, as "module:function")
    - store (".edgewright"), ledger, measurements (paths); emulate (an arm64 root of `edgewright emulation prepare`)
    """
    named = {"data": data, "profiles": profiles, "gates": gates, "out": out}
    return compile_recipe(recipe_of(model, {**named, **options}), progress or Silent())


def compile_recipe(recipe: Recipe, progress: Progress) -> CompileResult:
    """Carry out a recipe; see `compile`."""
    start = time.perf_counter()
    profiles = profiles_of(recipe)
    variants = variants_of(recipe)
    _check_out(recipe.out)
    emulator = open_emulator(recipe.emulate, profiles, recipe.runtimes)
    if recipe.keras_steps:
        check_keras_step(recipe.model)
    store = StepStore(recipe.store)
    ledger = Ledger(_ledger_path(recipe))
    ledger.check()
    raw = prepare.open_data(recipe)
    prepare.check_gates(recipe, raw)
    ingested = prepare.ingest_model(recipe, raw, progress)
    with progress.task("prepare"), freed_at_once():
        base, pipeline = prepare.prepare_model(ingested)
    data = prepare.bind_data(recipe, raw, base)
    company = gather(recipe, variants, ingested, prepare.first_samples(data), progress)
    # What is told of it later needs no weights, and those of the base are another copy.
    ingested = replace(ingested, model=base)
    give_back()
    evaluator = Evaluator(store, recipe.threads or 1, progress)
    try:
        work = Work(recipe, store, evaluator, progress, base, pipeline, variants, company, emulator)
        found = work.run(data, profiles, ledger)
    finally:
        evaluator.close()
    with progress.task("artifact"):
        return _write(recipe, ingested, work, found, start)


def _write(recipe: Recipe, ingested: Ingested, work: Work, found: Found, start: float) -> CompileResult:
    """Artifacts, measurements and the report: all of them appear together, or nothing changes.

    What an earlier compile released for a profile that now is not released must not pass for this one's: it is set aside.
    """
    shared, targets = found.shared, found.targets
    names = (name_of(recipe), _title(recipe.data if recipe.data is not None else recipe.accept))
    origin = Origin(
        name=names[0],
        source=SourceRecord(names[0], ingested.source_format, ingested.source_digest),
        data=DataRecord(names[1], shared.data.digest, shared.splits),
        seed=recipe.seed,
        preprocessing=prepare.preprocessing_json(shared.data),
        inputs=work.base.inputs,
        outputs=work.base.outputs,
        versions=versions_of(ingested, work.trains_here),
    )
    released = [target for target in targets if target.decision.chosen is not None]
    artifacts = {target.profile.name: recipe.out / artifact_name(recipe, target.profile) for target in released}
    report = report_of(
        names,
        recipe.seed,
        ingested,
        work.base,
        found,
        {profile: path.name for profile, path in artifacts.items()},
        {target.profile.name: work.accept_outputs(target, shared) for target in targets},
        origin.versions,
        time.perf_counter() - start,
    )
    set_aside = [artifact_name(recipe, target.profile) for target in targets if target.decision.chosen is None]
    search = shared.search
    places = input_places(search.split, shared.bins) if released and search.labels is not None else {}
    with moved_in(recipe.out, set_aside) as made:
        for target in released:
            figures, chosen = _figures(target), target.decision.chosen
            answers = [] if chosen is None else answer_bins(chosen.outputs, work.base.outputs, search.labels, search.output)
            given = {} if chosen is None else chosen.outputs
            bins = with_surplus(shared.bins, places, answers, given, search.labels, search.output)
            content = content_of(origin, target.profile, target.decision, target.threads, search.split, bins, figures)
            write_artifact(made / artifact_name(recipe, target.profile), content)
        write_atomic(made / "measurements.json", work.measurements.to_bytes())
        report_path, page_path = (recipe.out / path.name for path in write_report(report, made))
    code = exit_code(target.decision.status for target in targets)
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


def versions_of(ingested: Ingested, trains: bool) -> dict[str, str]:
    """Versions of everything that took part."""
    from .. import __version__

    runtimes = {name: registry.get(name).version() for name in registry.NAMES}
    trained = {"torch": metadata.version("torch")} if trains else {}
    return {**ingested.versions, **trained, **runtimes, "numpy": metadata.version("numpy"), "edgewright": __version__}


def _title(source: Any) -> str:
    if isinstance(source, Path):
        return source.stem
    if isinstance(source, Mapping):
        return "arrays in memory"
    if isinstance(source, str):
        return source.rpartition(":")[2] if ":" in source else Path(source).stem
    return type(source).__name__.lower()


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
