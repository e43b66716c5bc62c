"""What is published of an artifact: the offer in the signed metadata, and the files beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ...core.artifact import Artifact
from ...core.canonical import digest
from ...core.manifest import MeasuredOn
from ..protocol.bins import encode_bins
from ..protocol.offer import CHUNK_BYTES, Chunks, Delta, FileRef, Latency, Offer, OfferedGate, beside
from .bom import bill_of_materials
from .operators import operator_sets
from .provenance import provenance


def chunk_list(data: bytes) -> bytes:
    """Raw SHA-256 of each 64 KiB of `data`, one behind the other."""
    view = memoryview(data)
    return b"".join(hashlib.sha256(view[at : at + CHUNK_BYTES]).digest() for at in range(0, len(data), CHUNK_BYTES))


def describe(
    artifact: Artifact, data: bytes, name: str, model: str, version: int, deltas: Sequence[Delta] = ()
) -> tuple[Offer, dict[str, bytes]]:
    """The offer of an artifact under the target `name`, and the files beside it by target name; `data` is the artifact's file.

    Raises ProtocolError where something in its manifest does not fit into an offer.
    """
    manifest = artifact.manifest
    files = {
        beside(name, "chunks"): chunk_list(data),
        beside(name, "bom.json"): bill_of_materials(artifact, model, version),
        beside(name, "provenance.json"): provenance(artifact, name),
        beside(name, "bins.json"): encode_bins(manifest.histograms),
    }
    chunks, bom, statement, bins = (FileRef(path, digest(content)) for path, content in files.items())
    offer = Offer(
        model=model,
        version=version,
        profile=manifest.target.profile,
        arch=manifest.target.arch,
        isa=manifest.target.isa,
        runtime=manifest.runtime.name,
        runtime_version=manifest.runtime.version,
        precision=manifest.precision,
        size_bytes=artifact.size_bytes,
        content_digest=artifact.content_digest,
        ram_bytes=_ram_bytes(artifact.measurements),
        latency=_latency(artifact.measurements, manifest.measured_on),
        gates=tuple(OfferedGate(gate.gate, gate.status, gate.slice, gate.report_only) for gate in manifest.gates),
        bom=bom,
        provenance=statement,
        chunks=Chunks(chunks.path, chunks.sha256),
        deltas=tuple(deltas),
        operators=operator_sets(artifact.files, manifest.entry),
        bins=bins,
    )
    return offer, files


def _latency(measurements: Mapping[str, Any], measured_on: MeasuredOn | None) -> Latency | None:
    found = measurements.get("latency_ms")
    if measured_on is None or not isinstance(found, dict):
        return None
    p50, p99 = found.get("p50"), found.get("p99")
    if not isinstance(p50, (int, float)) or not isinstance(p99, (int, float)):
        return None
    return Latency(p50, p99, measured_on)


def _ram_bytes(measurements: Mapping[str, Any]) -> int | None:
    measurement = measurements.get("measurement")
    grown = measurement.get("rss_growth_bytes") if isinstance(measurement, dict) else None
    return grown if isinstance(grown, int) and not isinstance(grown, bool) and grown >= 0 else None
