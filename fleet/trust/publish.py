"""Publishing artifacts: checked, described, with patches from earlier versions, and signed, all in one step or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tuf.api.metadata import TargetFile

from ...core.artifact import Artifact
from ...core.artifact_read import open_artifact
from ...core.canonical import digest
from ...core.errors import ArtifactError, UsageError, unknown
from ..protocol.offer import CANARY, Delta, beside, check_model, check_version, target_name
from .describe import describe
from .keys import Keyring
from .repository import TARGETS, Listed, Repository, check_whole, listed
from .signing import Draft

# A patch that is not much smaller than the file is not worth the work on the device.
LARGEST_DELTA = 0.9
_HEAD = 16  # characters of the old artifact's digest in a patch's name
_NEEDS_LIBRARY = "zstd"  # a codec that not every device can apply
_WITHDRAWN = "x-edgewright-withdrawn"  # in a role's signed part: the highest version that was taken out, by model/profile


class Made(Protocol):
    """A patch: its codec and bytes."""

    @property
    def codec(self) -> str:
        """The name of its codec."""

    @property
    def data(self) -> bytes:
        """Its bytes."""


MakeDelta = Callable[[bytes, bytes], Sequence[Made]]
"""Patches that make the second file out of the first, smallest first."""


@dataclass(frozen=True)
class Published:
    """An artifact in the repository; `is_new` is False where it was there before. `deltas` are those it is offered with."""

    artifact: Path
    name: str
    role: str
    model: str
    profile: str
    version: int
    sha256: str
    size_bytes: int
    deltas: tuple[Delta, ...]
    is_new: bool


@dataclass(frozen=True)
class Wish:
    """How to publish: `version` None takes the next one, `model` None the manifest's name; `deltas` from so many versions."""

    version: int | None = None
    model: str | None = None
    is_canary: bool = False
    deltas: int = 3


def publish(
    repository: Repository, keyring: Keyring, artifacts: Sequence[Path], wish: Wish, make_delta: MakeDelta
) -> list[Published]:
    """Publish all of `artifacts`, or nothing.

    What is in the repository already is left as it is. Raises ArtifactError for a file that is no whole artifact, UsageError
    for a version that is taken or not above the others, for missing keys and expired metadata, VerificationError where the
    repository is not what was signed, StoreError when the disk refuses.
    """
    if wish.version is not None:
        check_version(wish.version)
    keyring.check_outside(repository.folder)
    opened = [(path, open_artifact(path)) for path in artifacts]
    with repository.locked():
        draft = Draft(repository, repository.load())
        shelf = listed(draft.chain)
        published = []
        for path, artifact in opened:
            found, entry = _publish_one(draft, path, artifact, shelf, wish, make_delta)
            published.append(found)
            shelf = [item for item in shelf if item.name != entry.name] + [entry]
        if draft.renewed or draft.files:
            draft.put(keyring)
    return published


def withdraw(repository: Repository, keyring: Keyring, names: Sequence[str]) -> list[str]:
    """Take artifacts out of the metadata, with the files beside them; the files stay where they are for devices that still ask.

    What is signed then remembers the versions, so that they are not given again.
    Raises UsageError for a name that is not there; otherwise as `publish`.
    """
    keyring.check_outside(repository.folder)
    with repository.locked():
        draft = Draft(repository, repository.load())
        shelf = {item.name: item for item in listed(draft.chain)}
        gone = []
        for name in names:
            if name not in shelf:
                raise UsageError(
                    unknown("artifact", name, shelf) if shelf else f"there is no artifact {name!r}; none is published."
                )
            role = shelf[name].role
            _note_withdrawn(draft, shelf[name])
            stem = beside(name, "")
            for target in [target for target in draft.targets[role].targets if target.startswith(stem)]:
                del draft.targets[role].targets[target]
                gone.append(target)
            draft.renew(role)
        draft.put(keyring)
    return gone


def _publish_one(
    draft: Draft, path: Path, artifact: Artifact, shelf: Sequence[Listed], wish: Wish, make_delta: MakeDelta
) -> tuple[Published, Listed]:
    role = CANARY if wish.is_canary else TARGETS
    model, profile = wish.model or artifact.manifest.name, artifact.manifest.target.profile
    check_model(model)
    line = [item for item in shelf if (item.offer.model, item.offer.profile) == (model, profile)]
    data = _bytes_of(path, artifact)
    there = _same(line, role, artifact.digest, wish.version)
    if there is not None:
        _restore(draft, there, data)
        return _published(path, there, is_new=False), there
    version = wish.version or _next_version(line, role, artifact.digest, _withdrawn(draft, model, profile))
    _check_free(line, role, version, artifact.digest)
    name = target_name(model, profile, version, wish.is_canary)
    files: dict[str, bytes] = {}
    deltas = []
    for delta, patch in _deltas(draft, line, name, data, artifact.digest, wish.deltas, make_delta):
        deltas.append(delta)
        files[delta.path] = patch
    offer, described = describe(artifact, data, name, model, version, deltas)
    files |= described
    targets = draft.targets[role].targets
    for target, content in files.items():
        targets[target] = TargetFile(len(content), {"sha256": digest(content)}, target)
    targets[name] = TargetFile(len(data), {"sha256": artifact.digest}, name, {"custom": offer.to_json()})
    draft.files |= {**files, name: data}
    draft.renew(role)
    entry = Listed(name, role, artifact.digest, offer)
    return _published(path, entry, is_new=True), entry


def _bytes_of(path: Path, artifact: Artifact) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read the artifact {path}: {error.strerror or error}; check the path.") from error
    if digest(data) != artifact.digest:
        raise ArtifactError(f"{path} changed while it was read; publish it when it is written.")
    return data


def _same(line: Iterable[Listed], role: str, sha256: str, version: int | None) -> Listed | None:
    """Where this artifact is published by the role: as the version that is asked for, else as the newest that it is."""
    found = [item for item in line if item.role == role and item.sha256 == sha256 and version in (None, item.offer.version)]
    return max(found, key=lambda item: item.offer.version, default=None)


def _note_withdrawn(draft: Draft, item: Listed) -> None:
    fields = draft.targets[item.role].unrecognized_fields
    line = f"{item.offer.model}/{item.offer.profile}"
    noted = fields.get(_WITHDRAWN, {})
    fields[_WITHDRAWN] = {**noted, line: max(noted.get(line, 0), item.offer.version)}


def _withdrawn(draft: Draft, model: str, profile: str) -> int:
    """The highest version that was withdrawn, by what is signed; 0 where none was."""
    noted: list[Mapping[str, int]] = [targets.unrecognized_fields.get(_WITHDRAWN, {}) for targets in draft.targets.values()]
    return max(versions.get(f"{model}/{profile}", 0) for versions in noted)


def _next_version(line: Sequence[Listed], role: str, sha256: str, withdrawn: int) -> int:
    """The version after all others; the one that it has in the other role, where that is newer than all of this role."""
    newest = max((item.offer.version for item in line if item.role == role), default=0)
    elsewhere = max((item.offer.version for item in line if item.role != role and item.sha256 == sha256), default=0)
    return elsewhere if elsewhere > newest else max(withdrawn, *(item.offer.version for item in line), 0) + 1


def _check_free(line: Sequence[Listed], role: str, version: int, sha256: str) -> None:
    for item in line:
        if item.offer.version == version and item.sha256 != sha256:
            raise UsageError(
                f"version {version} of {item.offer.model!r} for {item.offer.profile!r} is published as another artifact "
                f"({item.sha256[:12]}); give a higher --version, or none to take the next."
            )
    newest = max((item.offer.version for item in line if item.role == role), default=0)
    if version <= newest:
        raise UsageError(f"version {version} is not above {newest}, the newest that is published; versions rise.")


def _restore(draft: Draft, there: Listed, data: bytes) -> None:
    """Put the artifact's file back where it is missing or damaged; the metadata need no change."""
    target = draft.targets[there.role].targets[there.name]
    if check_whole(draft.repository, there.name, target) is None:
        draft.files[there.name] = data


def _deltas(
    draft: Draft, line: Sequence[Listed], name: str, data: bytes, sha256: str, count: int, make_delta: MakeDelta
) -> Iterable[tuple[Delta, bytes]]:
    """Patches from the newest `count` other artifacts of the line: the smallest, and the smallest that every device applies."""
    newest: dict[str, Listed] = {}
    for item in sorted(line, key=lambda item: -item.offer.version):
        if item.sha256 != sha256:
            newest.setdefault(item.sha256, item)
    for item in list(newest.values())[:count]:
        old = draft.files.get(item.name) or check_whole(
            draft.repository, item.name, draft.targets[item.role].targets[item.name]
        )
        if old is None:
            continue
        made = make_delta(old, data)
        for patch in _worth(made, LARGEST_DELTA * len(data)):
            path = beside(name, f"from-{item.sha256[:_HEAD]}.{patch.codec}")
            yield Delta(item.sha256, path, patch.codec, len(patch.data)), patch.data


def _worth(made: Sequence[Made], limit: float) -> list[Made]:
    small = [patch for patch in made if len(patch.data) <= limit]
    plain = [patch for patch in small if patch.codec != _NEEDS_LIBRARY]
    best = small[:1]
    return best if not best or best[0].codec != _NEEDS_LIBRARY else best + plain[:1]


def _published(path: Path, entry: Listed, is_new: bool) -> Published:
    offer = entry.offer
    return Published(
        artifact=path,
        name=entry.name,
        role=entry.role,
        model=offer.model,
        profile=offer.profile,
        version=offer.version,
        sha256=entry.sha256,
        size_bytes=offer.size_bytes,
        deltas=offer.deltas,
        is_new=is_new,
    )
