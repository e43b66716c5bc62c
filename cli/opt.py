"""`edgewright opt`."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from ..core.errors import UsageError


@click.command()
@click.argument("model")
@click.option("--pipeline", "text", required=True, help="Passes, for example 'canonicalize,fold-bn,store-float16'.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the model to this .onnx file.")
@click.option("--print-after", multiple=True, metavar="PASS|all", help="Print the model after this pass.")
@click.option("--time-passes", is_flag=True, help="Print the seconds of each pass.")
@click.option("--verify-each/--no-verify-each", default=True, help="Check the model after each pass.  [default: on]")
@click.option("--data", help="Samples, for passes that calibrate or train.")
@click.option("--labels", help="Array or column that holds the labels.")
@click.option("--preprocess", help="Declared preprocessing of the data.")
@click.option("--profile", help="Device profile, for passes that need a target.")
@click.option("--runtime", default="onnxruntime", show_default=True, help="Runtime whose scheme `quantize` follows.")
@click.option("--calib-samples", type=click.IntRange(1), default=256, show_default=True, help="Samples to calibrate with.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
@click.option("--trust", is_flag=True, help="Allow files that run code when they are loaded.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def opt(
    model: str,
    text: str,
    out: Path | None,
    print_after: tuple[str, ...],
    time_passes: bool,
    verify_each: bool,
    data: str | None,
    labels: str | None,
    preprocess: str | None,
    profile: str | None,
    runtime: str,
    calib_samples: int,
    seed: int,
    trust: bool,
    as_json: bool,
) -> None:
    """Run a pipeline of passes on MODEL, and print or write the result.

    Example: edgewright opt model.onnx --pipeline 'canonicalize,fold-bn' --print-after fold-bn --out folded.onnx
    """
    from ..core.files import write_atomic
    from ..ir.pipeline import pass_text
    from ..ir.statistics import statistics
    from ..ir.verify import operators
    from ..optimizer.ingest.ingest import ingest
    from ..optimizer.passes.registry import PASSES, parse
    from ..optimizer.train.form import training_form
    from ..optimizer.train.needs import TrainingNeeds
    from .given import Given, Source, stages
    from .progress import RichProgress

    pipeline = parse(text)
    for name in print_after:
        if name != "all" and name not in {item.name for item in pipeline.passes}:
            raise UsageError(f"--print-after {name!r} is not a pass of the pipeline {text!r} (passes: {', '.join(PASSES)}).")
    progress = RichProgress(is_quiet=as_json)
    with redirect_stdout(sys.stderr):  # what the user's own code prints is not the answer
        start = ingest(Path(model) if ":" not in model else model, trust=trust, progress=progress).model

    def after(item: Any, made: Any, step: Any) -> None:
        if not as_json and (item.name in print_after or "all" in print_after):
            click.echo(f"after {pass_text(item)}:\n{made}\n")

    source = Source(data, labels, preprocess, profile, runtime, calib_samples, seed, trust)
    if any(item.needs is TrainingNeeds for item in pipeline.passes):
        start = training_form(start)
    given, result, steps = Given(source, start, progress), start, []
    for stage in stages(pipeline):
        with redirect_stdout(sys.stderr):
            needed = given.for_stage(stage, result)
        result, done = stage.run(result, needed, after=after, verify_each=verify_each)
        steps += done
    if out is not None:
        write_atomic(out, result.to_bytes())
    found = statistics(result)
    if as_json:
        rows = [{"pass": s.text, "seconds": s.seconds, "changed": s.changed, "notes": list(s.notes)} for s in steps]
        told = {"passes": rows, "parameters": found.parameters, "weight_bytes": found.weight_bytes, "macs": found.macs}
        more = {"peak_activation_bytes": found.peak_activation_bytes, "operators": operators(result)}
        click.echo(json.dumps({**told, **more, "out": None if out is None else str(out)}, indent=1))
        return
    for step in steps:
        seconds = f"{step.seconds:8.3f} s  " if time_passes else ""
        notes = "; ".join(step.notes)
        click.echo(f"{seconds}{step.text}: {'changed' if step.changed else 'unchanged'}{f' ({notes})' if notes else ''}")
    if out is None and not print_after:
        click.echo(str(result))
    click.echo(f"{found.parameters} parameters, {found.weight_bytes} bytes of weights, {found.macs} MACs")
