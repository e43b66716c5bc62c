"""`edgewright explain`: what ran on a device at a time, and where it came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from ..core.canonical import dumps
from .amounts import moment
from .remote import Remote, remote
from .table import stamp


@click.command()
@click.argument("device")
@click.option("--at", metavar="TIME", help="When: seconds since 1970, or 2026-11-26T08:00:00Z.  [now]")
@click.option("--model", help="Of this model only.")
@remote
def explain(server: Remote, as_json: bool, device: str, at: str | None, model: str | None) -> None:
    """Tell what ran on DEVICE at a time: data, source, passes, gates, signers, rollout, who approved, retraining and alert.

    Example: edgewright explain 5f0c2a --at 2026-11-26T08:00:00Z
    """
    when = None if at is None else repr(moment(at, "--at"))
    found = server.call("GET", "explain", query={"device": device, "at": when, "model": model})
    if as_json:
        click.echo(dumps(found))
        return
    if not found["explained"]:
        click.echo(f"{device} never said anything of a model.")
    for item in found["explained"]:
        click.echo(f"{stamp(item['at'])} UTC: {item['sentence']}")
        for name, text in _lines(item):
            click.echo(f"  {name:<11}{text}")


def _lines(item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if item["said_at"] is not None:
        counted = {window["sha256"] for window in item["windows"]}
        seen = (
            ""
            if not counted
            else ", and counts of requests agree"
            if counted == {item["sha256"]}
            else ", but requests were counted of another"
        )
        yield "said", f"by the device {stamp(item['said_at'])}{seen}"
    if item["artifact"] is not None:
        offer = item["artifact"]["offer"]
        yield (
            "artifact",
            f"{item['artifact']['name']}, {offer.get('precision')} for {offer.get('runtime')} {offer.get('runtime_version')}",
        )
        for gate in offer.get("gates", []):
            where = "" if gate.get("slice") is None else f" on {gate['slice']}"
            yield "gate", f"{gate['gate']}{where}: {gate['status']}"
    yield from _made_from(item["provenance"])
    for event in item["signed"]:
        keys = ", ".join(key[:12] for key in event["details"]["keys"])
        yield (
            "signed",
            f"by {event['details']['threshold']} of the {event['details']['role']} keys {keys}; seen {stamp(event['at'])}",
        )
    if item["assigned"] is not None:
        yield "assigned", f"by {item['assigned']['actor']} {stamp(item['assigned']['at'])}"
    if item["rollout"] is not None:
        rollout = item["rollout"]
        yield (
            "rollout",
            f"{rollout['id']}, made by {rollout['made_by']} {stamp(rollout['made_at'])}, {rollout['state']}: {rollout['why']}",
        )
    for event in item["decisions"]:
        yield "decided", f"{event['action']} by {event['actor']} {stamp(event['at'])}"
    for retraining in item["retrainings"]:
        yield (
            "retraining",
            f"{retraining['id']}, opened by {retraining['made_by']} {stamp(retraining['made_at'])}: {retraining['cause']}",
        )
        yield from _steps(retraining["steps"])
    if item["alert"] is not None:
        alert = item["alert"]
        yield (
            "alert",
            f"{alert['id']}: {alert['measure']} in {alert['scope']}, {alert['severity']}, from {stamp(alert['first_at'])}",
        )


def _made_from(provenance: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    if provenance is None:
        return
    definition = provenance.get("predicate", {}).get("buildDefinition", {})
    for material in definition.get("resolvedDependencies", []):
        what = material.get("annotations", {}).get("what", "material")
        yield "made from", f"{material.get('name')} ({material.get('digest', {}).get('sha256', '')[:12]}), {what}"
    pipeline = definition.get("externalParameters", {}).get("pipeline")
    if pipeline:
        yield "passes", str(pipeline)


def _steps(steps: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for step in steps:
        told = step["details"]
        if step["step"] == "collect":
            parts = told.get("samples", {})
            counts = ", ".join(f"{count} {name}" for name, count in parts.items()) if isinstance(parts, dict) else ""
            yield "data", f"{counts}; labels until {stamp(told['labelled_until'])}" if "labelled_until" in told else counts
        elif step["step"] == "train":
            yield "trained", f"{told.get('how')}: from {str(told.get('source_before'))[:12]} to {str(told.get('source'))[:12]}"
        elif step["step"] == "gate":
            for judged in told["judged"] if isinstance(told.get("judged"), list) else []:
                for verdict in judged.get("verdicts", []) if isinstance(judged, dict) else []:
                    yield "judged", f"{verdict['gate']} on {judged['part']} data, {judged['profile']}: {verdict['status']}"
        elif step["step"] == "approve":
            yield "approved", f"by {step['by']} {stamp(step['at'])}"
