"""The bill of materials of an artifact: CycloneDX 1.6 with a model card (an ML-BOM).

cyclonedx.org/docs/1.6/json. It holds no time and its serial number follows from the artifact's digest, so the same artifact
gives the same bytes. What the manifest does not know (task, approach, energy) is left out, not guessed.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from ...core.artifact import Artifact
from ...core.canonical import dumps
from ...core.executor import TensorSpec
from ...core.manifest import GateRecord, Manifest

_SERIALS = uuid.UUID("6d5b4f0e-6f3c-5b0a-9f0e-2f6a0b1c7d11")  # namespace of our serial numbers


def bill_of_materials(artifact: Artifact, model: str, version: int) -> bytes:
    """Canonical JSON of the BOM of an artifact that is published as this version of `model`."""
    manifest = artifact.manifest
    component = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": model,
        "version": str(version),
        "description": f"{manifest.name} for {manifest.target.profile}, {manifest.precision}, {manifest.runtime.name}",
        "hashes": [{"alg": "SHA-256", "content": artifact.digest}],
        "modelCard": _card(artifact),
        "properties": _properties(
            {
                "content_digest": artifact.content_digest,
                "size_bytes": artifact.size_bytes,
                "target": manifest.target.profile,
                "arch": manifest.target.arch,
                "isa": " ".join(manifest.target.isa),
                "threads": manifest.target.threads,
            }
        ),
    }
    source = {
        "type": "machine-learning-model",
        "bom-ref": "source",
        "name": manifest.source.name,
        "description": f"the trained model that was compiled, {manifest.source.format}",
        "hashes": [{"alg": "SHA-256", "content": manifest.source.digest}],
    }
    data = {
        "type": "data",
        "bom-ref": "data",
        "name": manifest.data.name,
        "hashes": [{"alg": "SHA-256", "content": manifest.data.digest}],
        "data": [{"type": "dataset", "name": manifest.data.name, "description": _splits(manifest)}],
    }
    runtime = {
        "type": "framework",
        "bom-ref": "runtime",
        "name": manifest.runtime.name,
        "version": manifest.runtime.version,
        "description": "runs the model on the device",
    }
    builders = [
        {"type": "library", "bom-ref": f"built-with/{name}", "name": name, "version": found, "scope": "excluded"}
        for name, found in sorted(manifest.versions.items())
    ]
    parts: list[dict[str, Any]] = [source, data, runtime, *builders]
    return dumps(
        {
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": f"urn:uuid:{uuid.uuid5(_SERIALS, f'{artifact.digest}/{model}/{version}')}",
            "version": 1,
            "metadata": {"component": component},
            "components": parts,
            "dependencies": [
                {"ref": "model", "dependsOn": ["data", "runtime", "source"]},
                *({"ref": part["bom-ref"]} for part in parts),
            ],
        }
    )


def _card(artifact: Artifact) -> dict[str, Any]:
    manifest = artifact.manifest
    return {
        "bom-ref": "model-card",
        "modelParameters": {
            "datasets": [{"ref": "data"}],
            "inputs": [{"format": _format(spec)} for spec in manifest.inputs],
            "outputs": [{"format": _format(spec)} for spec in manifest.outputs],
        },
        "quantitativeAnalysis": {"performanceMetrics": [*_metrics(manifest), *_latencies(artifact.measurements)]},
        "considerations": {
            "technicalLimitations": _limitations(manifest),
            "performanceTradeoffs": [_tradeoff(gate) for gate in manifest.gates],
        },
        "properties": _properties(
            {
                "quantization.precision": manifest.precision,
                "quantization.pipeline": manifest.pipeline,
                "measured_on": manifest.measured_on or "nothing",
                "seed": manifest.seed,
            }
        ),
    }


def _metrics(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """What each gate saw: the reference's and the candidate's figure, and what is held against the margin with its bounds."""
    for gate in manifest.gates:
        place = {} if gate.slice is None else {"slice": gate.slice}
        for what, value in (("reference", gate.reference), ("candidate", gate.candidate)):
            if value is not None:
                yield {"type": f"{gate.gate}: {what}", "value": repr(value), **place}
        if gate.measured is not None:
            bounds = {
                name: repr(bound) for name, bound in (("lowerBound", gate.low), ("upperBound", gate.high)) if bound is not None
            }
            interval = {"confidenceInterval": bounds} if bounds else {}
            yield {"type": f"{gate.gate}: measured", "value": repr(gate.measured), **place, **interval}


def _latencies(measurements: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    latency = measurements.get("latency_ms")
    if isinstance(latency, dict):
        for name, value in sorted(latency.items()):
            if isinstance(value, (int, float)):
                yield {"type": f"latency {name} in milliseconds", "value": repr(value)}


def _limitations(manifest: Manifest) -> list[str]:
    target = manifest.target
    told = [
        f"compiled for {target.profile} ({target.arch}, {target.threads} threads); other devices run other kernels",
        f"accuracy was judged on {manifest.measured_on or 'no'} kernels, with data like {manifest.data.name!r}",
    ]
    return told + [
        f"{_title(gate)} is {gate.status} and was reported only"
        for gate in manifest.gates
        if gate.report_only and gate.status != "passed"
    ]


def _tradeoff(gate: GateRecord) -> str:
    flips = "" if gate.negative_flips is None or gate.n is None else f"; {gate.negative_flips} of {gate.n} answers became wrong"
    return f"{_title(gate)}: {gate.status}{flips}"


def _title(gate: GateRecord) -> str:
    return gate.gate if gate.slice is None else f"{gate.gate} on {gate.slice}"


def _format(spec: TensorSpec) -> str:
    return f"{spec.name}: {spec.dtype}[{','.join('any' if size is None else str(size) for size in spec.shape)}]"


def _splits(manifest: Manifest) -> str:
    splits = ", ".join(f"{name} {count}" for name, count in sorted(manifest.data.splits.items()))
    return f"samples: {splits}" if splits else "no splits"


def _properties(values: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"name": f"edgewright:{name}", "value": str(value)} for name, value in sorted(values.items())]
