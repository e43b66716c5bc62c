"""The repository beside a worker: the deployed artifacts out of it, new ones into it, for canaries or for all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ...core.canonical import digest, digest_file, dumps
from ...core.errors import UsageError, VerificationError
from ...core.files import write_atomic
from ..trust.keys import Keyring
from ..trust.publish import MakeDelta, Published, Wish, publish
from ..trust.repository import Repository, listed
from .ports import Deployed


class Shelf:
    """A published folder and the keys that are at hand: `online` for canaries, `offline` where a worker may sign for all."""

    def __init__(self, repository: Repository, online: Keyring, offline: Keyring | None, make_delta: MakeDelta) -> None:
        self._repository, self._online, self._offline, self._make_delta = repository, online, offline, make_delta

    def artifact(self, name: str, sha256: str, out: Path) -> Path:
        """A copy of an artifact at `out`, verified by its digest; raises VerificationError where it is not there."""
        if out.is_file() and digest_file(out) == sha256:
            return out
        place = self._repository.target_path(name, sha256)
        try:
            data = place.read_bytes()
        except OSError as error:
            raise VerificationError(f"{name} is not in the repository {self._repository.folder}: {error.strerror}.") from error
        if digest(data) != sha256:
            raise VerificationError(f"{place} is damaged; publish the artifact again, which puts its file back.")
        write_atomic(out, data)
        return out

    def deployed(self, deployed: tuple[Deployed, ...], folder: Path) -> dict[str, Path]:
        """The deployed artifacts by profile, copied into `folder`."""
        return {item.profile: self.artifact(item.name, item.sha256, folder / f"{item.profile}.ewa") for item in deployed}

    def publish_canary(self, artifacts: Mapping[str, Path], model: str, choice: Path) -> list[Published]:
        """Publish under the canary's key, all profiles as one version, which the file `choice` keeps for doing it again."""
        version = self._chosen(artifacts, model, choice)
        wish = Wish(version, model, is_canary=True)
        return publish(self._repository, self._online, [artifacts[key] for key in sorted(artifacts)], wish, self._make_delta)

    def publish_for_all(self, artifacts: Mapping[str, Path], model: str, version: int) -> list[Published]:
        """Publish what was a canary for every device; raises UsageError where this worker has no offline keys."""
        if self._offline is None:
            raise UsageError("the policy lets the worker sign for all, and it has no offline keys; give --fleet-keys DIR.")
        wish = Wish(version, model)
        return publish(self._repository, self._offline, [artifacts[key] for key in sorted(artifacts)], wish, self._make_delta)

    def _chosen(self, artifacts: Mapping[str, Path], model: str, choice: Path) -> int:
        """The version after all of the model's, of any profile; once chosen it stays, unless somebody else took it."""
        wanted = {digest_file(path) for path in artifacts.values()}
        shelf = [item for item in listed(self._repository.load()) if item.offer.model == model]
        if choice.is_file():
            version = int(json.loads(choice.read_bytes())["version"])
            if all(item.sha256 in wanted for item in shelf if item.offer.version == version):
                return version
        there = {item.offer.version for item in shelf if item.role == "canary" and item.sha256 in wanted}
        version = max(there) if there else 1 + max((item.offer.version for item in shelf), default=0)
        write_atomic(choice, dumps({"version": version}))
        return version
