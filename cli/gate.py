"""`edgewright gate`."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("candidate", type=click.Path(path_type=Path))
@click.option("--data", required=True, help="Samples with labels and columns.")
@click.option("--gate", "gates", multiple=True, help="What must hold; chosen from data and outputs by default.")
@click.option("--preprocess", help="Declared preprocessing of the data.")
@click.option("--labels", help="Array or column that holds the labels.")
@click.option("--classes", help="Names of the classes in the order of the model's outputs: a,b,c or a file, one a line.")
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Threads of the runtimes.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the bootstrap.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
def gate(
    reference: Path,
    candidate: Path,
    data: str,
    gates: tuple[str, ...],
    preprocess: str | None,
    labels: str | None,
    classes: str | None,
    threads: int,
    seed: int,
    as_json: bool,
) -> int:
    """Judge CANDIDATE against REFERENCE (.ewa, .onnx, .tflite or .xml) on all of DATA.

    Every call is a look of its own at 5 %: the ledger counts only what `compile` does.
    Exit code 0: passed; 2: failed; 3: undecided.

    Example: edgewright gate model.onnx dist/model-x86-64-vnni.ewa --data test.npz --gate 'top1 >= -1pt'
    """
    from ..calibration.bind import bind
    from ..calibration.classes import classes_note, read_classes, unlabelled_note
    from ..calibration.dataset import Split
    from ..calibration.opening import open_dataset
    from ..calibration.preprocess import Preprocessing
    from ..optimizer.answers import answers as answers_of
    from ..optimizer.answers import under_names_of
    from ..optimizer.exam import prepare_exam
    from ..optimizer.gates.defaults import default_gate
    from ..optimizer.gates.text import check_columns, parse_gates
    from ..optimizer.gates.verdict import exit_code, overall
    from ..optimizer.prepare import check_data
    from .progress import RichProgress

    progress = RichProgress(is_quiet=as_json)
    wanted = parse_gates(gates)
    declared = Preprocessing.parse(preprocess) if preprocess else None
    with redirect_stdout(sys.stderr):  # what the user's own code prints is not the answer
        order = read_classes(classes) if classes is not None else ()
        raw = open_dataset(data, labels=labels, preprocessing=declared, classes=order)
        for note in (*unlabelled_note(raw), *classes_note(raw, bool(order))):
            progress.note(note)
        answers = [answers_of(path, raw, threads, progress) for path in (reference, candidate)]
        output = next(iter(answers[0]))
        bound = bind(raw, raw.inputs)
        split = Split("data", bound, tuple(range(len(bound))))
        if not wanted:
            exam = prepare_exam(split, answers[0], output, ())
            wanted = (default_gate(exam.labels, exam.reference, [spec.shape for spec in bound.inputs]),)
        check_data(bound, wanted)
        for item in wanted:
            check_columns(item, bound.columns)
        exam = prepare_exam(split, answers[0], output, wanted)
        theirs = under_names_of(answers[0], answers[1])
        verdicts = exam.judge(wanted, theirs, seed=seed)
    status = overall(verdicts)
    if as_json:
        click.echo(json.dumps({"status": status, "verdicts": [item.to_json() for item in verdicts]}, indent=1))
    else:
        _print(verdicts, status)
    return exit_code([status])


def _print(verdicts: list[Any], status: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("gate", "slice", "reference", "candidate", "measured", "bound", "n", "verdict"):
        table.add_column(title, justify="left" if title in ("gate", "slice", "verdict") else "right")
    for item in verdicts:
        numbers = [item.reference, item.candidate, item.measured, item.bound]
        shown = ["-" if value is None else f"{value:.4f}" for value in numbers]
        table.add_row(item.gate, item.slice or "all", *shown, str(item.n), item.status)
    console = Console(file=sys.stdout)
    console.print(table)
    for item in verdicts:
        if item.status != "passed":
            console.print(f"{item.slice or 'all'}: {item.why}", markup=False)
    console.print(status)
