"""Writing an artifact: the same content gives the same bytes, in one rename, and what was written can be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from . import artifact_arrays, artifact_json, artifact_zip
from .artifact import (
    INPUTS_FOLDER,
    MANIFEST,
    MEASUREMENTS,
    MODEL_FOLDER,
    OUTPUTS_FOLDER,
    SEAL,
    Artifact,
    ArtifactContent,
    TestVectors,
    member,
    seal,
    vector_name,
)
from .artifact_read import read_artifact
from .errors import ArtifactError
from .files import write_atomic
from .manifest import Manifest, VectorsRecord


def build_artifact(content: ArtifactContent) -> bytes:
    """The bytes of an artifact; raises ArtifactError when the content does not make a released model."""
    manifest = content.manifest
    manifest.check()
    if manifest.entry not in content.files:
        raise ArtifactError(f"the entry file {manifest.entry!r} is not among the model's files {sorted(content.files)}.")
    content.test_vectors.check(manifest.inputs, manifest.outputs)
    inner = {f"{MODEL_FOLDER}{name}": bytes(data) for name, data in content.files.items()}
    inner |= _vector_members(manifest, content.test_vectors)
    inner = dict(sorted(inner.items()))
    vectors = content.test_vectors
    tolerances = tuple(vectors.tolerances[spec.name] for spec in manifest.outputs)
    record = VectorsRecord(vectors.samples, tolerances, vectors.arithmetic)
    full = replace(manifest, test_vectors=record, members=tuple(member(name, data) for name, data in inner.items()))
    members = {
        MANIFEST: artifact_json.write(full.to_json(), "the manifest"),
        **inner,
        MEASUREMENTS: artifact_json.write(dict(content.measurements), "the measurements"),
    }
    members[SEAL] = artifact_json.write(seal(member(name, data) for name, data in members.items()), "the seal")
    return artifact_zip.pack(members)


def write_artifact(path: Path, content: ArtifactContent) -> Artifact:
    """Write the artifact to `path`, whole or not at all, and hand back what a reader finds in it.

    Raises ArtifactError when the content does not make a released model, StoreError when the disk refuses.
    """
    data = build_artifact(content)
    artifact = read_artifact(data, str(path))
    write_atomic(path, data)
    return artifact


def _vector_members(manifest: Manifest, vectors: TestVectors) -> Mapping[str, bytes]:
    members: dict[str, bytes] = {}
    for folder, specs, arrays in (
        (INPUTS_FOLDER, manifest.inputs, vectors.inputs),
        (OUTPUTS_FOLDER, manifest.outputs, vectors.outputs),
    ):
        for index, spec in enumerate(specs):
            members[vector_name(folder, index)] = artifact_arrays.encode(arrays[spec.name], f"the test vector {spec.name!r}")
    return members
