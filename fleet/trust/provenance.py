"""Provenance of an artifact: an in-toto Statement v1 with a SLSA v1 provenance predicate.

in-toto attestation framework, spec/v1/statement.md; slsa.dev/spec/v1.0/provenance. It is not signed by itself: it is a TUF
target, so the signatures over the metadata cover it. It holds no time: the same artifact gives the same bytes.
"""

from __future__ import annotations

from typing import Any

from ...core.artifact import Artifact
from ...core.canonical import dumps

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:edgewright:compile:v1"
BUILDER = "urn:edgewright:compiler"


def provenance(artifact: Artifact, name: str) -> bytes:
    """Canonical JSON of the statement; `name` is the artifact's target name."""
    manifest = artifact.manifest
    versions = dict(manifest.versions)
    own = versions.pop("edgewright", None)
    materials = [
        _material(manifest.source.name, manifest.source.digest, f"the trained model, {manifest.source.format}"),
        _material(manifest.data.name, manifest.data.digest, "the data set's content and preprocessing"),
    ]
    return dumps(
        {
            "_type": STATEMENT,
            "subject": [{"name": name, "digest": {"sha256": artifact.digest}}],
            "predicateType": PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": {
                        "pipeline": manifest.pipeline,
                        "precision": manifest.precision,
                        "runtime": manifest.runtime.to_json(),
                        "seed": manifest.seed,
                        "target": manifest.target.to_json(),
                    },
                    "internalParameters": {
                        "content_digest": artifact.content_digest,
                        "measured_on": manifest.measured_on,
                        "splits": dict(manifest.data.splits),
                    },
                    "resolvedDependencies": materials,
                },
                "runDetails": {
                    "builder": {
                        "id": BUILDER,
                        "version": {"edgewright": own or "unknown", **versions},
                    },
                },
            },
        }
    )


def _material(name: str, sha256: str, what: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": sha256}, "annotations": {"what": what}}
