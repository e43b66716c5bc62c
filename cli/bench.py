"""`edgewright bench`: how fast model files are here, and how much memory they take."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from ..core.canonical import dumps
from ..core.errors import UsageError
from ..core.files import write_atomic
from ..device_profiles import loader
from ..runtimes.bench.batches import example_inputs
from ..runtimes.bench.compare import compare
from ..runtimes.bench.here import Case, bench_here, executing
from ..runtimes.bench.opening import ENDINGS, naming, open_model
from ..runtimes.bench.record import BenchReport, BenchResult, spread_of
from .bench_group import BenchGroup, DefaultCommand
from .bench_table import told

_MAX_COUNT = 1024


@click.group(cls=BenchGroup)
def bench() -> None:
    """Measure model files and artifacts; compare two of them."""


@bench.command("measure", cls=DefaultCommand)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--threads", help="Threads within an operator, one number or several: 1,2,4; an artifact brings its own, else 1.")
@click.option("--batch", default="1", show_default=True, help="Samples of one run, one number or several: 1,8.")
@click.option("--profile", help="Device whose CPU this may be (a name or a .toml); an artifact's own by default.")
@click.option("--against", type=click.Path(path_type=Path), help="Another file, timed in turns with each.")
@click.option("--rounds", type=click.IntRange(5, 10_000), default=50, show_default=True, help="Rounds of --against.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the random inputs.")
@click.option("--json", "json_to", is_flag=False, flag_value="-", metavar="[FILE]", help="Write JSON there, or print it.")
def measure(
    files: tuple[Path, ...],
    threads: str | None,
    batch: str,
    profile: str | None,
    against: Path | None,
    rounds: int,
    seed: int,
    json_to: str | None,
) -> None:
    """Measure the latency and memory of each FILE (.ewa, .onnx, .tflite, .xml) on this machine, on random inputs.

    Warm-up, five windows of at least fifty runs; with --against also the ratio of the two, timed in turns, with its interval.

    Example: edgewright bench dist/model-x86-64-avx2.ewa --against float.onnx --threads 1
    """
    target = json_target(json_to)
    several = counts(threads, "--threads") if threads is not None else (None,)
    device = loader.load(profile) if profile is not None else None
    results = []
    for file in files:
        for thread_count in several:
            for size in counts(batch, "--batch"):
                case = Case(file, thread_count, size)
                result = bench_here(case, profile=device, seed=seed)
                results.append(_compared(result, against, rounds, seed) if against is not None else result)
    report = BenchReport(tuple(results), spread_of(results))
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
    if path.suffix in {".ewa", *ENDINGS}:
        raise UsageError(f"--json {json_to} names a model file; give --json a .json file, or put it last to print.")
    return path


def _compared(result: BenchResult, against: Path, rounds: int, seed: int) -> BenchResult:
    mine = open_model(Path(result.file))
    with naming(against):
        other = open_model(against)
        with executing(mine, result.threads) as ours, executing(other, result.threads) as its:
            inputs, others = example_inputs(ours, seed, result.batch), example_inputs(its, seed, result.batch)
            ratio = compare(ours, its, inputs, rounds, reference_inputs=others, seed=seed)
    return dataclasses.replace(result, against={"file": str(against), **ratio.to_json()})
