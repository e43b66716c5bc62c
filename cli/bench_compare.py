"""`edgewright bench compare`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from ..core.canonical import dumps
from ..core.errors import UsageError
from ..core.files import write_atomic

_FORMATS = (".png", ".svg")
_PATH = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("base", type=_PATH)
@click.argument("head", type=_PATH)
@click.option(
    "--fail-on", "rules", multiple=True, metavar="RULE", help="What a regression is: 'p90_ms > +5%', 'top1 < -0.5pt'."
)
@click.option("--data", help="Samples with labels and columns, for metrics.")
@click.option("--metric", "metrics", multiple=True, help="A metric to show beside those of rules.")
@click.option("--preprocess", help="Declared preprocessing of the data.")
@click.option("--labels", help="Array or column that holds the labels.")
@click.option("--classes", help="Names of the classes in the order of the model's outputs: a,b,c or a file, one a line.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Threads within an operator; an artifact brings its own, else 1.")
@click.option("--seconds", type=click.FloatRange(0, 86_400), default=60.0, show_default=True, help="Most time for timing.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="Chance of any false regression, over all rules.")
@click.option("--strict", is_flag=True, help="Exit with 3 where noise leaves a rule open.")
@click.option("--markdown", type=_PATH, help="Write a comment for a pull request.")
@click.option("--junit", type=_PATH, help="Write JUnit XML.")
@click.option("--html", type=_PATH, help="Write a page.")
@click.option("--json", "json_to", is_flag=False, flag_value="-", metavar="[FILE]", help="Write JSON there, or print it.")
@click.option("--history", type=_PATH, help="Add to this SQLite file.")
@click.option("--trend", type=_PATH, help="Draw the history as .png or .svg.")
@click.option("--label", help="What this comparison is called in the history: a commit, a version.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of random inputs, orders and bootstraps.")
def compare(
    base: Path,
    head: Path,
    rules: tuple[str, ...],
    data: str | None,
    metrics: tuple[str, ...],
    preprocess: str | None,
    labels: str | None,
    classes: str | None,
    threads: int | None,
    seconds: float,
    alpha: float,
    strict: bool,
    markdown: Path | None,
    junit: Path | None,
    html: Path | None,
    json_to: str | None,
    history: Path | None,
    trend: Path | None,
    label: str | None,
    seed: int,
) -> int:
    """Compare two builds, BASE and HEAD: model files (.ewa, .onnx, .tflite, .xml), or what `edgewright bench --json` wrote.

    Files that run here are timed in turns, until each rule is decided or time is up. A regression is one only where its
    interval lies beyond the rule. Exit code 0: none is shown (noise is said); 2: one is; 3: open, with --strict.

    Example: edgewright bench compare main.ewa new.ewa --data test.npz --fail-on 'p90_ms > +5%' --fail-on 'top1 < -0.5pt'
    """
    from ..optimizer.compare.compare import Request, compare_builds
    from ..optimizer.compare.rules import parse_rules
    from ..optimizer.compare.terminal import text
    from .progress import RichProgress

    _check_targets({"--markdown": markdown, "--junit": junit, "--html": html, "--json": json_to, "--trend": trend}, base, head)
    if trend is not None and history is None:
        raise UsageError("--trend draws a history, and none is named; add --history FILE.")
    if trend is not None and trend.suffix not in _FORMATS:
        raise UsageError(f"--trend {trend} is neither .png nor .svg; end the file's name in one of them.")
    wanted = parse_rules(rules)
    progress = RichProgress(is_quiet=json_to == "-")
    with redirect_stdout(sys.stderr):  # what the user's own code prints is not the answer
        opened = None if data is None else _opened(data, preprocess, labels, classes, progress)
        request = Request(base, head, wanted, metrics, opened, threads, seconds, alpha, seed, label)
        result = compare_builds(request, progress)
    if json_to not in {None, "-"}:
        write_atomic(Path(str(json_to)), dumps(result.to_json()) + b"\n")
    _write(result, markdown, junit, html, is_strict=strict)
    if history is not None:
        _remember(result, history, trend)
    click.echo(dumps(result.to_json()) if json_to == "-" else text(result))
    return result.exit_code(strict)


def _opened(data: str, preprocess: str | None, labels: str | None, classes: str | None, progress: Any) -> Any:
    """The data set, with notes on what its labels lack."""
    from ..calibration.classes import classes_note, read_classes, unlabelled_note
    from ..calibration.opening import open_dataset
    from ..calibration.preprocess import Preprocessing

    declared = Preprocessing.parse(preprocess) if preprocess else None
    order = read_classes(classes) if classes is not None else ()
    raw = open_dataset(data, labels=labels, preprocessing=declared, classes=order)
    for note in (*unlabelled_note(raw), *classes_note(raw, bool(order))):
        progress.note(note)
    return raw


def _write(result: Any, markdown: Path | None, junit: Path | None, html: Path | None, *, is_strict: bool) -> None:
    from ..optimizer.compare.junit import junit as as_junit
    from ..optimizer.compare.markdown import markdown as as_markdown
    from ..optimizer.compare.page import page

    if markdown is not None:
        write_atomic(markdown, as_markdown(result).encode())
    if junit is not None:
        write_atomic(junit, as_junit(result, is_strict=is_strict).encode())
    if html is not None:
        write_atomic(html, page(result).encode())


def _remember(result: Any, history: Path, trend: Path | None) -> None:
    from ..optimizer.compare import history as kept
    from ..optimizer.compare.trend import trend as drawn

    kept.add(history, result)
    if trend is not None:
        write_atomic(trend, drawn(kept.read(history), trend.suffix[1:]))


def _check_targets(targets: dict[str, Path | str | None], base: Path, head: Path) -> None:
    """Refuse an output that would overwrite what is compared, or another output: an option without its file takes BASE."""
    seen = {base.absolute(): "BASE", head.absolute(): "HEAD"}
    for option, target in targets.items():
        if target is None or target == "-":
            continue
        place = Path(target).absolute()
        if place in seen:
            raise UsageError(f"{option} {target} would overwrite {seen[place]}; name another file.")
        seen[place] = option
