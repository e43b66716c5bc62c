"""`edgewright inspect`: what is in an artifact, for a reader or as the manifest itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ..core.artifact import Artifact, told_tolerances
from ..core.artifact_read import open_artifact
from ..core.canonical import dumps
from ..core.executor import TensorSpec
from ..core.manifest import GateRecord
from ..optimizer.report.words import printable

_WIDTH = 16


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the manifest, digests and measurements as one JSON object.")
def inspect(artifact: Path, as_json: bool) -> None:
    """Show what is in an ARTIFACT: model, target, gates with their intervals, latency, versions, members.

    Its structure and digests are checked on the way; `edgewright verify` also runs its test vectors.

    Example: edgewright inspect dist/model-x86-64-avx2.ewa
    """
    found = open_artifact(artifact)
    if as_json:
        click.echo(
            dumps(
                {
                    "content_digest": found.content_digest,
                    "digest": found.digest,
                    "manifest": found.manifest.to_json(),
                    "measurements": found.measurements,
                    "size_bytes": found.size_bytes,
                }
            )
        )
        return
    click.echo("\n".join(printable(line) for line in lines(found)))


def lines(artifact: Artifact) -> list[str]:
    """The listing, a line each."""
    manifest = artifact.manifest
    model_bytes = sum(map(len, artifact.files.values()))
    splits = ", ".join(f"{name} {count:,}" for name, count in sorted(manifest.data.splits.items()))
    rows = [
        ("model", f"{manifest.name}, from {manifest.source.name} ({manifest.source.format}, {manifest.source.digest[:12]})"),
        ("target", f"{manifest.target.profile} ({manifest.target.arch}), threads {manifest.target.threads}"),
        ("runtime", f"{manifest.runtime.name} {manifest.runtime.version}, {manifest.precision}"),
        ("size", f"{model_bytes:,} bytes of model, {artifact.size_bytes:,} in all"),
        ("pipeline", manifest.pipeline or "-"),
        ("data", f"{manifest.data.name} ({manifest.data.digest[:12]}): {splits or 'no splits'}"),
        ("measured on", manifest.measured_on or "nothing: the target's kernels were not to be had"),
        *_specs("input", manifest.inputs),
        *_specs("output", manifest.outputs),
        ("latency", _latency(artifact.measurements)),
        ("test vectors", _vectors(artifact)),
        ("bins", _bins(artifact)),
        ("seed", str(manifest.seed)),
        ("content digest", artifact.content_digest),
        ("file digest", artifact.digest),
    ]
    versions = [f"  {name} {version}" for name, version in sorted(manifest.versions.items())]
    members = [f"  {item.bytes:>12,}  {item.sha256[:12]}  {item.name}" for item in artifact.members]
    gates = [line for gate in manifest.gates for line in _gate(gate)]
    listing = [f"{name:<{_WIDTH}}{value}" for name, value in rows]
    return [*listing, "", "gates", *gates, "", "versions", *versions, "", "members", *members]


def _specs(what: str, specs: Iterable[TensorSpec]) -> list[tuple[str, str]]:
    return [(what, f"{s.name} {s.dtype}[{', '.join('any' if n is None else str(n) for n in s.shape)}]") for s in specs]


def _vectors(artifact: Artifact) -> str:
    record = artifact.manifest.test_vectors
    if record is None:
        return "none"
    return f"{record.samples} samples, within {told_tolerances(artifact.manifest)}, from {record.arithmetic}"


def _bins(artifact: Artifact) -> str:
    """Histograms by tensor and kind, as what of it they count."""
    found: dict[tuple[str, str], list[str]] = {}
    for bins in artifact.manifest.histograms:
        found.setdefault((bins.tensor, bins.kind), []).append(bins.statistic)
    return ", ".join(f"{tensor} ({kind}: {_shown(counted)})" for (tensor, kind), counted in found.items()) or "none"


def _shown(counted: Sequence[str]) -> str:
    """`values`, or `column 0 to 9`: one word where only the number changes."""
    places: dict[str, list[str]] = {}
    for text in counted:
        name, _, place = text.partition(" ")
        places.setdefault(name, []).append(place)
    return ", ".join(f"{name} {' to '.join(dict.fromkeys((some[0], some[-1])))}".strip() for name, some in places.items())


def _latency(measurements: Mapping[str, Any]) -> str:
    """Percentiles where the measurements hold them."""
    latency = measurements.get("latency_ms")
    if not isinstance(latency, dict):
        return "not measured"
    parts = [f"{name} {value:.3f} ms" for name, value in sorted(latency.items()) if isinstance(value, (int, float))]
    return ", ".join(parts) or "not measured"


def _gate(gate: GateRecord) -> list[str]:
    """One line of verdict and one of numbers."""
    place = f" on {gate.slice}" if gate.slice is not None else ""
    binding = " (report only)" if gate.report_only else ""
    head = f"  {gate.status:<10}{gate.gate}{place}{binding}"
    numbers = [
        f"{name} {value:.4g}"
        for name, value in (("reference", gate.reference), ("candidate", gate.candidate), ("measured", gate.measured))
        if value is not None
    ]
    if gate.low is not None or gate.high is not None:
        low, high = ("-inf" if gate.low is None else f"{gate.low:.4g}"), ("inf" if gate.high is None else f"{gate.high:.4g}")
        numbers.append(f"interval [{low}, {high}]")
    if gate.margin is not None:
        numbers.append(f"margin {gate.margin:.4g}")
    if gate.threshold is not None:
        numbers.append(f"threshold {gate.threshold:.4g}")
    if gate.alpha is not None:
        numbers.append(f"alpha {gate.alpha:.4g}")
    if gate.n is not None:
        numbers.append(f"n {gate.n:,}")
    if gate.n_needed is not None:
        numbers.append(f"needed {gate.n_needed:,}")
    if gate.negative_flips is not None:
        numbers.append(f"negative flips {gate.negative_flips:,}")
    details = [f"            {', '.join(numbers)}"] if numbers else []
    return [head, *details, *([f"            {gate.why}"] if gate.why else [])]
