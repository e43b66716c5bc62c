"""`edgewright bench`: how fast model files are here, how they start, what memory they take, how accurate they are."""

from __future__ import annotations

import dataclasses
import glob
from pathlib import Path

import click

from ..core.canonical import dumps
from ..core.errors import UsageError
from ..core.files import write_atomic
from ..core.progress import Progress, Silent
from ..device_profiles import loader
from ..device_profiles.profile import DeviceProfile
from ..runtimes.bench.here import Case, against_other, bench_here, check, executing, own_profile
from ..runtimes.bench.opening import ENDINGS, naming, open_model
from ..runtimes.bench.record import BenchReport, BenchResult, Figure, spread_of
from ..runtimes.bench.rules import Rules, held, parse_rules
from .bench_accuracy import Examination, open_examination, with_worth, worth
from .bench_emulated import emulated_report, refuse_with_emulate
from .bench_group import BenchGroup, DefaultCommand
from .bench_remote import Elsewhere, elsewhere, refuse_with_on
from .bench_table import told

_MAX_COUNT = 1024
_MODELS = frozenset({".ewa", *ENDINGS})


@click.group(cls=BenchGroup)
def bench() -> None:
    """Measure model files and artifacts; compare two of them.

    Example: edgewright bench dist/model-x86-64-avx2.ewa
    """


@bench.command("measure", cls=DefaultCommand)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--threads", help="Threads within an operator, one number or several: 1,2,4; an artifact brings its own, else 1.")
@click.option("--batch", default="1", show_default=True, help="Samples of one run, one number or several: 1,8.")
@click.option("--profile", help="Device whose CPU this may be (a name or a .toml); an artifact's own by default.")
@click.option("--starts", type=click.IntRange(0, 1000), default=3, show_default=True, help="Fresh processes to start it in.")
@click.option("--operators", is_flag=True, help="Tell where the time goes, by the runtime's profiler.")
@click.option("--data", help="Labelled samples, to tell the accuracy too.")
@click.option("--metric", "metrics", multiple=True, help="Metric of --data, top1 by default; may be given several times.")
@click.option("--preprocess", help="Declared preprocessing of the data.")
@click.option("--labels", help="Array or column that holds the labels.")
@click.option("--classes", help="Names of the classes in the order of the model's outputs: a,b,c or a file, one a line.")
@click.option("--electricity", type=click.FloatRange(0, 1e6), help="Price of a kilowatt-hour, for the cost of predictions.")
@click.option("--rules", help="Run by the rules of mlperf-tiny, or of its task: mlperf-tiny:kws, :vww, :ic or :ad.")
@click.option("--against", type=click.Path(path_type=Path), help="Another file, timed in turns with each.")
@click.option("--rounds", type=click.IntRange(5, 10_000), default=50, show_default=True, help="Rounds of --against.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the random inputs.")
@click.option("--emulate", metavar="DIR", type=click.Path(path_type=Path), help="Answers of an arm64 root; nothing is timed.")
@click.option("--json", "json_to", is_flag=False, flag_value="-", metavar="[FILE]", help="Write JSON there, or print it.")
@elsewhere
def measure(
    *,
    where: Elsewhere | None,
    files: tuple[str, ...],
    threads: str | None,
    batch: str,
    profile: str | None,
    starts: int,
    operators: bool,
    data: str | None,
    metrics: tuple[str, ...],
    preprocess: str | None,
    labels: str | None,
    classes: str | None,
    electricity: float | None,
    rules: str | None,
    against: Path | None,
    rounds: int,
    seed: int,
    emulate: Path | None,
    json_to: str | None,
) -> None:
    """Measure each FILE (.ewa, .onnx, .tflite, .xml, or a pattern such as 'dist/*.ewa') here or --on devices, on random inputs.

    Latency over five windows of at least fifty runs after a warm-up, throughput, and, in fresh processes, cold start, first
    inference and memory; every combination of --threads and --batch.

    Example: edgewright bench dist/model-x86-64-avx2.ewa --against float.onnx --threads 1,2
    """
    target = json_target(json_to)
    kept = parse_rules(rules) if rules is not None else None
    cases = _cases(files, threads, batch, kept)
    if emulate is not None:
        timing = {"operators": operators, "rules": rules, "against": against, "electricity": electricity}
        refuse_with_emulate(on=where, batch=batch != "1", **timing)
    if where is not None:
        refuse_with_on(operators=operators, profile=profile, data=data, rules=rules, against=against, electricity=electricity)
        show(where.report(cases), json_to, target)
        return
    device = loader.load(profile) if profile is not None else None
    examination = _examination(data, metrics, preprocess, labels, classes, kept)
    progress = _progress(json_to == "-")
    if emulate is not None:
        show(emulated_report(emulate, cases, device, examination, seed, progress), json_to, target)
        return
    others = [Case(against, case.threads, case.batch) for case in cases] if against is not None else []
    for case in dict.fromkeys((*cases, *others)):
        check(case, operators=operators)
    accuracy: dict[Path, dict[str, Figure]] = {}
    results = []
    with progress.task("bench", len(cases)) as advance:
        for case in cases:
            if examination is not None and case.file not in accuracy:
                accuracy[case.file] = _accuracy(examination, case.file, device, progress)
            result = bench_here(
                case,
                profile=device,
                budget=kept.budget if kept is not None else None,
                starts=starts,
                operators=operators,
                varied_inputs=kept is not None,
                price_per_kwh=electricity,
                seed=seed,
                progress=progress,
            )
            result = dataclasses.replace(result, accuracy=accuracy.get(case.file))
            result = result if against is None else against_other(result, against, rounds, seed)
            results.append(result if kept is None else _ruled(result, kept))
            advance(1)
    if electricity is not None and not any(result.cost for result in results):
        progress.note("no cost is told: it needs a profile whose CPU this is and that holds price_per_hour or power_w.")
    show(BenchReport(tuple(results), spread_of(results)), json_to, target)


def show(report: BenchReport, json_to: str | None, target: Path | None) -> None:
    """Print a report, as JSON for `-`; write it to `target` too where there is one."""
    if json_to == "-":
        click.echo(dumps(report.to_json()))
        return
    if target is not None:
        write_atomic(target, dumps(report.to_json()) + b"\n")
    click.echo(told(report))


def counts(text: str, option: str) -> tuple[int, ...]:
    """Numbers from 1 to 1024 separated by commas, each once; raises UsageError."""
    found = [item.strip() for item in text.split(",")]
    fit = all(item.isascii() and item.isdigit() and len(item) <= 4 and 1 <= int(item) <= _MAX_COUNT for item in found)
    if not fit or len({int(item) for item in found}) != len(found):
        raise UsageError(
            f"'{option}' {text[:40]!r} is no list of numbers from 1 to {_MAX_COUNT}, each once; give for example 1,2,4."
        )
    return tuple(int(item) for item in found)


def json_target(json_to: str | None) -> Path | None:
    """Where --json writes, None for nowhere or the terminal; raises UsageError for what would overwrite a model."""
    if json_to is None or json_to == "-":
        return None
    path = Path(json_to)
    if path.suffix in _MODELS | {".bin"}:
        raise UsageError(f"--json {json_to} names a model file; give --json a .json file, or put it last to print.")
    return path


def _cases(files: tuple[str, ...], threads: str | None, batch: str, rules: Rules | None) -> list[Case]:
    """Every file with every number of threads and every batch."""
    several: tuple[int | None, ...] = counts(threads, "--threads") if threads is not None else (None,)
    sizes = counts(batch, "--batch")
    if rules is not None and sizes != (1,):
        raise UsageError(f"--rules {rules.name} asks for one input a run; leave --batch out.")
    paths = dict.fromkeys(path for name in files for path in _paths(name))
    return [Case(path, count, size) for path in paths for count in several for size in sizes]


def _paths(name: str) -> list[Path]:
    """The file of that name, or those that a pattern names; raises UsageError where there are none."""
    if not glob.has_magic(name) or Path(name).exists():
        return [Path(name)]
    found = sorted(path for item in glob.glob(name, recursive=True) if (path := Path(item)).suffix in _MODELS)
    if not found:
        raise UsageError(f"no model file is named like {name!r}; check the pattern and the folder.")
    return found


def _examination(
    data: str | None,
    metrics: tuple[str, ...],
    preprocess: str | None,
    labels: str | None,
    classes: str | None,
    rules: Rules | None,
) -> Examination | None:
    if data is None:
        given = {"--metric": metrics, "--preprocess": preprocess, "--labels": labels, "--classes": classes}
        idle = [option for option, value in given.items() if value]
        if idle:
            raise UsageError(f"{idle[0]} has nothing to say without --data; give the samples, or leave it out.")
        return None
    default = rules.task.metric if rules is not None and rules.task is not None else "top1"
    return open_examination(data, metrics or (default,), preprocess, labels, classes)


def _accuracy(examination: Examination, file: Path, device: DeviceProfile | None, progress: Progress) -> dict[str, Figure]:
    model = open_model(file)
    with naming(file), executing(model, model.threads) as executor:
        figures = examination.of(executor, progress, file.name)
    return with_worth(figures, worth(file, model.runtime, device or own_profile(model)))


def _ruled(result: BenchResult, rules: Rules) -> BenchResult:
    if result.measurement is None:
        return result
    return dataclasses.replace(result, rules=held(rules, result.measurement, result.accuracy))


def _progress(is_quiet: bool) -> Progress:
    """Bars that stand still while something is timed, where rich is installed, which a device need not have."""
    try:
        from .progress import RichProgress
    except ImportError:
        return Silent()
    return RichProgress(is_quiet=is_quiet, is_still=True)
