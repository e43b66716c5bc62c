"""`edgewright drift`: what changed on devices since a model was compiled, how much it matters, since when, and where."""

from __future__ import annotations

import textwrap
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.canonical import dumps
from ..core.errors import UsageError
from ..core.files import write_atomic
from .amounts import seconds
from .remote import Remote, remote
from .table import WIDTH, stamp, table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..fleet.control.drift_report.records import Accuracy, Alert, Measure, Report

_ALARMED = 2  # exit code while an alert is open
_MOST_MEASURES, _MOST_CHANGES = 20, 10
_DISTANCES = ("ks", "largest-change", "total-variation", "hellinger", "jensen-shannon", "psi", "wasserstein")


@click.group()
def drift() -> None:
    """See whether what devices count still looks as it did at compile time, and what that means for accuracy.

    Example: edgewright drift report --model digits --since 7d
    """


@drift.command()
@click.option("--model", required=True, help="Which model.")
@click.option("--since", default="7d", show_default=True, help="How far to look back: 12h, 7d; at most 92d.")
@click.option("--sha256", help="Of which artifact; by default of the one with the gravest alert, else with most requests.")
@click.option("--html", "file", type=click.Path(dir_okay=False, path_type=Path), help="Also write it with pictures into FILE.")
@click.option("--distance", type=click.Choice(_DISTANCES), help="Also tell this distance of the newest day, with a test.")
@click.option("--test", type=click.Choice(("ks", "chi2", "g")), help="The test beside it.  [default: ks]")
@click.option(
    "--correction",
    type=click.Choice(("holm", "bh", "none")),
    help="Of its p-values: holm (family-wise), bh (false discovery rate, weaker), none.  [default: holm]",
)
@remote
def report(
    server: Remote,
    as_json: bool,
    model: str,
    since: str,
    sha256: str | None,
    file: Path | None,
    distance: str | None,
    test: str | None,
    correction: str | None,
) -> None:
    """Say what drifts, how far, since when and where, and what accuracy is likely.

    --distance, --test and --correction add columns to look at; alerts go by the sequential test alone.

    It exits with 2 while an alert is open, or the estimate of accuracy is withdrawn.

    \b
    Example: edgewright drift report --model digits --since 7d
    Example: edgewright drift report --model digits --html drift.html
    Example: edgewright drift report --model digits --distance hellinger --correction bh
    """
    from ..fleet.control.drift_report.records import Report

    if distance is None and (test or correction):
        raise UsageError("--test and --correction belong to a --distance; give one, for example --distance hellinger.")
    query = {"since_s": f"{seconds(since, '--since'):g}", "sha256": sha256}
    chosen = {"distance": distance, "test": test, "correction": correction}
    found = server.call("GET", "drift", model, query={**query, **chosen})
    try:
        told = Report.model_validate(found)
    except ValueError:
        raise UsageError(
            "the server answers in a form that this version does not know; use the version of the server."
        ) from None
    if file is not None:
        from ..fleet.control.page.drift_file import drift_file

        write_atomic(file, drift_file(told).encode())
    click.echo(dumps(found) if as_json else _told(told))
    if file is not None and not as_json:
        click.echo(f"with pictures: {file}")
    if any(item.state == "open" for item in told.alerts) or (told.accuracy is not None and told.accuracy.withdrawn):
        click.get_current_context().exit(_ALARMED)


@drift.command("list")
@click.option("--model", help="Of one model only.")
@click.option("--closed", "is_closed", is_flag=True, help="Those that are closed, in place of those that are not.")
@remote
def list_alerts(server: Remote, as_json: bool, model: str | None, is_closed: bool) -> None:
    """List alerts, the newest first; and models, with how each is.

    Example: edgewright drift list
    """
    from ..fleet.control.drift_report.records import Alerts, Models

    found = server.call("GET", "alerts", query={"model": model, "state": "closed" if is_closed else None})
    models = server.call("GET", "drift")
    if as_json:
        click.echo(dumps({**found, **models}))
        return
    rows = [
        (
            item.model,
            item.severity or "no drift",
            ", ".join(f"{count} {name}" for name, count in item.alerts.items()) or "none",
            "withdrawn" if item.withdrawn else "-" if item.estimate is None else f"{item.estimate.accuracy:.1%}",
        )
        for item in Models.model_validate(models).models
        if model is None or item.model == model
    ]
    click.echo(table(("model", "drift", "alerts", "estimated accuracy"), rows) if rows else "nothing was judged yet")
    alerts = Alerts.model_validate(found).alerts
    click.echo(_alerts(alerts) if alerts else f"no alert is {'closed' if is_closed else 'open'}")


@drift.command()
@click.argument("number", metavar="ID", type=click.IntRange(1))
@remote
def acknowledge(server: Remote, as_json: bool, number: int) -> None:
    """Say that somebody has seen the alert ID; it stays until the drift is over.

    Example: edgewright drift acknowledge 3
    """
    found = server.call("POST", "alerts", number, "acknowledge")
    told = f"alert {number} is acknowledged by {found['acknowledged_by']}: {found['measure']} of {found['model']}"
    click.echo(dumps(found) if as_json else told)


@drift.command()
@click.argument("new", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("old", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--array", "name", default="x", show_default=True, help="Which array of both files: [samples, ...].")
@click.option("--linear", "is_linear", is_flag=True, help="The linear-time test, for many samples; much less powerful.")
@click.option("--most", type=click.IntRange(4), default=1000, show_default=True, help="Samples of each file, drawn at random.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of what is drawn.")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
def compare(new: Path, old: Path, name: str, is_linear: bool, most: int, seed: int, as_json: bool) -> None:
    """Compare samples of NEW with those of OLD (.npz) in all respects at once, by maximum mean discrepancy.

    For samples that devices uploaded (`edgewright samples export`), beside the data of compile time: their inputs, or
    embeddings that you computed of them. Counts by feature cannot show how features go together; this can.

    \b
    Example: edgewright drift compare new.npz train.npz
    Example: edgewright drift compare new.npz train.npz --array embedding
    """
    import numpy as np

    from ..stats.mmd import linear_mmd_test, mmd_test

    draw = np.random.default_rng(seed)
    samples = []
    for path in (new, old):
        values = _array(path, name)
        chosen = np.sort(draw.choice(len(values), most, replace=False)) if len(values) > most else slice(None)
        samples.append(values[chosen])
    found = (linear_mmd_test if is_linear else mmd_test)(samples[0], samples[1], seed=seed)
    told = {
        "array": name, "new": len(samples[0]), "old": len(samples[1]), "squared": found.squared, "p": found.p,
        "bandwidth": found.bandwidth, "test": "linear" if is_linear else "permutation",
    }  # fmt: skip
    text = (
        f"{name} of {len(samples[0])} new and {len(samples[1])} old samples: squared discrepancy {found.squared:.4g}, "
        f"p {found.p:.2g} (one look)"
    )
    click.echo(dumps(told) if as_json else text)


def _array(path: Path, name: str) -> NDArray[Any]:
    """An array of a file as vectors [samples, values]."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            values = archive[name] if name in archive.files else None
            names = ", ".join(sorted(archive.files))
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile):
        raise UsageError(f"{path} is no .npz file; give one as `edgewright samples export` writes it.") from None
    if values is None:
        raise UsageError(f"{path} has no array {name!r}; it has {names}; choose by --array.")
    if values.ndim < 2 or values.dtype.kind not in "biuf":
        raise UsageError(f"{name!r} in {path} is no array [samples, ...] of numbers; choose another by --array.")
    return np.asarray(values.reshape(len(values), -1))


def _told(report: Report) -> str:
    head = f"drift of {report.model}"
    if report.artifact is not None:
        named = f"version {report.artifact.version}" if report.artifact.version else f"unknown {report.artifact.sha256[:8]}"
        head += f", {named}" + (f", {report.artifact.profile}" if report.artifact.profile else "")
    is_withdrawn = report.accuracy is not None and report.accuracy.withdrawn is not None
    verdict = report.severity or ("the estimate of accuracy is withdrawn" if is_withdrawn else "no drift found")
    lines = [f"{head}: {verdict}"]
    if report.artifact is not None and report.artifact.why_not:
        lines += textwrap.wrap(f"not judged: {report.artifact.why_not}", WIDTH)
    for text in report.summary:
        lines += textwrap.wrap(_printable(text), WIDTH, initial_indent="- ", subsequent_indent="  ")
    if report.accuracy is not None:
        lines += _accuracy(report.accuracy)
    if report.alerts:
        lines += ["", _alerts(report.alerts)]
    if report.measures:
        lines += ["", _measures(report.measures)]
    if len(report.measures) > _MOST_MEASURES:
        lines.append(f"{len(report.measures) - _MOST_MEASURES} measures that moved less are left out; --json has all")
    if any(item.chosen for item in report.measures):
        lines += ["", *_chosen(report.measures)]
    for sight in report.sights:
        delay = "too little for an alarm" if sight.windows is None else f"an alarm after {sight.windows} windows"
        text = f"a distance of {sight.distance:g} in {sight.measure}: one window of {sight.requests:,} shows it in "
        lines += textwrap.wrap(f"{text}{100 * sight.power:.0f} of 100 cases; {delay}, if requests are independent", WIDTH)
    if report.changes:
        lines += ["", "streams that changed, by detectors without a reference, which open no alert:"]
        lines.append(table(("stream", "window, UTC", "by", "mean"), [
            (item.stream, stamp(item.start)[:16], item.by, f"{item.value:.3g}") for item in report.changes[-_MOST_CHANGES:]
        ]))  # fmt: skip
    return "\n".join(lines)


def _chosen(measures: list[Measure]) -> list[str]:
    """Distances and tests that were asked for, and what their p-values hold for."""
    from ..fleet.control.drift_report.chosen import HOLDS

    told = [(item.newest.measure, item.chosen) for item in measures[:_MOST_MEASURES] if item.chosen is not None]
    first = told[0][1]
    rows = [(name, f"{item.value:.3g} ({item.low:.2g}-{item.high:.2g})", f"{item.p:.2g}") for name, item in told]
    return [
        table(("measure", first.distance, f"p by {first.test}, {first.correction}"), rows),
        f"p {HOLDS[first.correction]}; for one look, and no alert",  # type: ignore[index]
    ]


def _accuracy(accuracy: Accuracy) -> list[str]:
    if accuracy.estimate is None:
        return textwrap.wrap(accuracy.blind, WIDTH)
    return [*textwrap.wrap(accuracy.assumption, WIDTH), *textwrap.wrap(accuracy.blind, WIDTH)]


def _alerts(alerts: list[Alert]) -> str:
    rows = [
        (
            str(item.id),
            item.severity,
            item.model,
            item.measure,
            item.scope,
            _distance(item.distance, item.low, item.high),
            stamp(item.first_at)[:16],
            item.state,
        )
        for item in alerts
    ]
    return table(("alert", "severity", "model", "what", "where", "distance", "since, UTC", "state"), rows)


def _measures(measures: list[Measure]) -> str:
    rows = [
        (
            item.newest.measure,
            item.newest.severity or "-",
            _distance(item.newest.distance, item.newest.low, item.newest.high),
            "-" if item.newest.psi is None else f"{item.newest.psi:.2f}",
            "-" if item.newest.p is None else f"{item.newest.p:.2g}",
            item.change,
        )
        for item in measures[:_MOST_MEASURES]
    ]
    return table(("measure", "alone", "distance", "psi", "p", "what changed"), rows)


def _distance(distance: float | None, low: float | None, high: float | None) -> str:
    return "-" if distance is None or low is None or high is None else f"{distance:.2f} ({low:.2f}-{high:.2f})"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "�" for letter in text)
