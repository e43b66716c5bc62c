"""`edgewright bench`: how fast a model file is here, and how much memory it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..core.canonical import dumps
from ..runtimes.bench.batches import example_inputs
from ..runtimes.bench.compare import RatioResult, compare
from ..runtimes.bench.latency import measure
from ..runtimes.bench.measurement import Measurement
from ..runtimes.bench.memory import peak_memory_bytes
from ..runtimes.bench.opening import ModelFile, load_model, naming, open_model, runtime_version

_WIDTH = 14


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--threads", type=click.IntRange(1, 1024), help="Threads within an operator; an artifact brings its own, else 1.")
@click.option("--against", type=click.Path(path_type=Path), help="A second file, timed in turns with the first.")
@click.option("--rounds", type=click.IntRange(5, 10_000), default=50, show_default=True, help="Rounds of the comparison.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the random inputs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(file: Path, threads: int | None, against: Path | None, rounds: int, seed: int, as_json: bool) -> None:
    """Measure the latency and memory of FILE (.ewa, .onnx, .tflite, .xml) on this machine, on random inputs.

    Warm-up, five windows of at least fifty runs; with --against also the ratio of the two, timed in turns, with its interval.

    Example: edgewright bench dist/model-x86-64-avx2.ewa --against float.onnx --threads 1
    """
    model = open_model(file)
    other = open_model(against) if against is not None else None
    used = threads or model.threads
    with naming(file):
        measured = _measure(model, used, seed)
    ratio = None
    if other is not None and against is not None:
        with naming(against):
            ratio = _compare(model, other, used, rounds, seed)
    if as_json:
        answer: dict[str, Any] = {"file": str(file), "measurement": measured.to_json()}
        if ratio is not None:
            answer["against"] = {"file": str(against), **ratio.to_json()}
        click.echo(dumps(answer))
        return
    click.echo("\n".join(f"{name:<{_WIDTH}}{value}" for name, value in _rows(file, measured, against, ratio)))


def _measure(model: ModelFile, threads: int, seed: int) -> Measurement:
    executor = load_model(model, threads)
    try:
        inputs = example_inputs(executor, seed)
        growth = peak_memory_bytes(model.runtime, model.files, model.entry, threads, inputs)
        version = runtime_version(model.runtime)
        return measure(executor, inputs, runtime=model.runtime, version=version, threads=threads, rss_growth_bytes=growth)
    finally:
        executor.close()


def _compare(model: ModelFile, other: ModelFile, threads: int, rounds: int, seed: int) -> RatioResult:
    mine = load_model(model, threads)
    try:
        its = load_model(other, threads)
        try:
            inputs, others = example_inputs(mine, seed), example_inputs(its, seed)
            return compare(mine, its, inputs, rounds, reference_inputs=others, seed=seed)
        finally:
            its.close()
    finally:
        mine.close()


def _rows(file: Path, found: Measurement, against: Path | None, ratio: RatioResult | None) -> list[tuple[str, str]]:
    upper = "" if found.p90_upper_ms is None else f", p90 at most {found.p90_upper_ms:.3f} (99 % bound)"
    rows = [
        ("file", str(file)),
        ("runtime", f"{found.runtime} {found.runtime_version}, {found.threads} thread{'s' if found.threads > 1 else ''}"),
        ("cpu", f"{found.cpu} ({' '.join(found.cpu_flags)})"),
        ("latency", f"{found.median_ms:.3f} ms (median of {len(found.window_ms)} windows, spread {found.spread:.1%})"),
        ("percentiles", f"p50 {found.p50_ms:.3f}, p90 {found.p90_ms:.3f}, p99 {found.p99_ms:.3f} ms{upper}"),
        ("runs", f"{found.runs} after {found.warm_up_runs} to warm up"),
    ]
    if found.rss_growth_bytes is not None:
        rows.append(("memory", f"{found.rss_growth_bytes / 1e6:.1f} MB more in a fresh process"))
    if ratio is not None:
        rows.append(("ratio", f"{ratio.ratio:.3f} of {against} (95 % bounds {ratio.low:.3f} and {ratio.high:.3f})"))
    if found.is_shortened:
        rows.append(("note", "a run is so slow that the windows have fewer than fifty"))
    if found.is_disturbed or (ratio is not None and ratio.is_disturbed):
        rows.append(("note", f"the machine was disturbed: a fixed kernel changed by {found.drift:+.1%}; measure again"))
    return rows
