"""Reading an artifact that may be damaged or hostile. Pure but for `open_artifact`: bytes in, artifact or ArtifactError out.

The rules, in order:
1. The file is regular and has at most `artifact_zip.MAX_ARTIFACT_BYTES`.
2. The container is exactly what `artifact_zip.pack` writes for its members (structure, names, CRCs).
3. The members are manifest.json, then others in order of their names, then measurements.json and seal.json.
4. The three JSON members are canonical, bounded in bytes and depth; the manifest's version is known, its fields are of their
   kinds, and writing it again gives the same bytes.
5. The manifest lists exactly the members between, with their sizes and SHA-256; they are model files and test vectors.
6. The seal is the one that these members give.
7. Every binding gate passed; the entry file is there.

So every byte of the file is held by a digest or follows from what a digest holds; tests flip each bit.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from . import artifact_json, artifact_zip
from .artifact import (
    INPUTS_FOLDER,
    MANIFEST,
    MEASUREMENTS,
    MODEL_FOLDER,
    OUTPUTS_FOLDER,
    SEAL,
    SUFFIX,
    Artifact,
    content_digest,
    member,
    seal,
    vector_names,
)
from .canonical import digest, dumps
from .errors import ArtifactError
from .manifest import Manifest


def open_artifact(path: Path) -> Artifact:
    """The artifact in a file; raises ArtifactError when it cannot be read, is damaged, hostile or of another version."""
    data = _read_bounded(path)
    if path.suffix != SUFFIX and not data.startswith(artifact_zip.SIGNATURE):
        raise ArtifactError(f"{path} is no artifact; give the {SUFFIX} file that `edgewright compile` wrote.")
    return read_artifact(data, str(path))


def read_artifact(data: bytes, where: str = "the artifact") -> Artifact:
    """The artifact in `data`; `where` names it in messages. Raises ArtifactError."""
    try:
        return _read(data)
    except ArtifactError as error:
        raise ArtifactError(f"{where} cannot be trusted: {error}") from error


def _read(data: bytes) -> Artifact:
    contents = artifact_zip.unpack(data)
    names = list(contents)
    inner = names[1:-2]
    if [*names[:1], *names[-2:]] != [MANIFEST, MEASUREMENTS, SEAL] or inner != sorted(inner):
        raise ArtifactError("its members are not those of an artifact, in an artifact's order.")
    manifest = _manifest(contents[MANIFEST])
    measurements = artifact_json.parse(contents[MEASUREMENTS], "the list of measurements")
    if not isinstance(measurements, dict):
        raise ArtifactError("the list of measurements is not an object.")
    members = tuple(member(name, content) for name, content in contents.items())
    _check_members(manifest, contents)
    if members[1:-2] != manifest.members:
        wrong = [found.name for found, told in zip(members[1:-2], manifest.members, strict=False) if found != told]
        raise ArtifactError(f"the member {wrong[0] if wrong else 'list'!r} is not what the manifest tells of it.")
    if contents[SEAL] != dumps(seal(members[:-1])):
        raise ArtifactError("the seal does not fit the manifest and the measurements.")
    manifest.check()
    return Artifact(
        manifest=manifest,
        files={name.removeprefix(MODEL_FOLDER): contents[name] for name in inner if name.startswith(MODEL_FOLDER)},
        measurements=measurements,
        members=members,
        content_digest=content_digest(members),
        digest=digest(data),
        size_bytes=len(data),
        vector_members={name: contents[name] for name in inner if not name.startswith(MODEL_FOLDER)},
    )


def _manifest(data: bytes) -> Manifest:
    manifest = Manifest.from_json(artifact_json.parse(data, "the manifest"))
    if dumps(manifest.to_json()) != data:
        raise ArtifactError("the manifest has fields that this version does not know.")
    return manifest


def _check_members(manifest: Manifest, contents: Mapping[str, bytes]) -> None:
    vectors = [name for name in contents if name.startswith((INPUTS_FOLDER, OUTPUTS_FOLDER))]
    files = [name for name in contents if name.startswith(MODEL_FOLDER)]
    if len(vectors) + len(files) + 3 != len(contents) or sorted(vectors) != sorted(vector_names(manifest)):
        raise ArtifactError("its members are not the model files and test vectors that the manifest tells of.")
    if f"{MODEL_FOLDER}{manifest.entry}" not in contents:
        raise ArtifactError(f"the entry file {manifest.entry!r} is missing.")


def _read_bounded(path: Path) -> bytes:
    """The bytes of a regular file of allowed size; a pipe or a device never blocks or floods the reader."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ArtifactError(f"{path} is not a file; give the path of an .ewa artifact.")
            if status.st_size > artifact_zip.MAX_ARTIFACT_BYTES:
                raise ArtifactError(
                    f"{path} has {status.st_size} bytes, more than the {artifact_zip.MAX_ARTIFACT_BYTES} of an artifact."
                )
            return file.read(artifact_zip.MAX_ARTIFACT_BYTES + 1)
    except OSError as error:
        raise ArtifactError(f"cannot read the artifact {path}: {error.strerror or error}; check the path.") from error
