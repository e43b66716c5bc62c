"""`edgewright drift`: what changed on devices since a model was compiled, how much it matters, since when, and where."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..core.canonical import dumps
from ..core.errors import UsageError
from ..core.files import write_atomic
from .amounts import seconds
from .remote import Remote, remote
from .table import WIDTH, stamp, table

if TYPE_CHECKING:
    from ..fleet.control.drift_report.records import Accuracy, Alert, Measure, Report

_ALARMED = 2  # exit code while an alert is open
_MOST_MEASURES = 20


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
@remote
def report(server: Remote, as_json: bool, model: str, since: str, sha256: str | None, file: Path | None) -> None:
    """Say what drifts, how far, since when and where, and what accuracy is likely.

    It exits with 2 while an alert is open, or the estimate of accuracy is withdrawn.

    \b
    Example: edgewright drift report --model digits --since 7d
    Example: edgewright drift report --model digits --html drift.html
    """
    from ..fleet.control.drift_report.records import Report

    found = server.call("GET", "drift", model, query={"since_s": f"{seconds(since, '--since'):g}", "sha256": sha256})
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
    return "\n".join(lines)


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
