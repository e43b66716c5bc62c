"""A publisher with real keys, and a device that reads the folder with TUF's reference client."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from edgewright.core.clock import Clock
from edgewright.core.errors import StoreError
from edgewright.fleet.delta.make import make_delta
from edgewright.fleet.trust.create import Plan, create_repository
from edgewright.fleet.trust.keys import Keyring
from edgewright.fleet.trust.publish import Published, Wish, publish
from edgewright.fleet.trust.repository import Repository
from tiny_artifact import write_tiny
from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Metadata, Targets
from tuf.ngclient import FetcherInterface, Updater

SURVIVED, REFUSED, KILLED = 0, 3, 9


class Publisher:
    """A repository in `folder`/repo with its keys beside it."""

    def __init__(
        self, folder: Path, plan: Plan | None = None, clock: Clock | None = None, passphrase: bytes | None = None
    ) -> None:
        self.folder = folder
        self.clock = clock
        self.keys = folder / "keys"
        create_repository(folder / "repo", self.ring(passphrase), plan or Plan(), passphrase, clock)

    @property
    def repository(self) -> Repository:
        return Repository(self.folder / "repo", self.clock)

    def ring(self, passphrase: bytes | None = None) -> Keyring:
        return Keyring([self.keys], None if passphrase is None else lambda _: passphrase)

    def artifact(self, offset: float) -> Path:
        path = self.folder / f"tiny-{offset:g}.ewa"
        return path if path.exists() else write_tiny(path, offset)

    def publish(self, *offsets: float, version: int | None = None, is_canary: bool = False, deltas: int = 3) -> list[Published]:
        paths = [self.artifact(offset) for offset in offsets]
        return publish(self.repository, self.ring(), paths, Wish(version, None, is_canary, deltas), both)

    def files(self) -> dict[str, bytes]:
        """Every file that is published, hidden ones too."""
        folder = self.folder / "repo"
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def both(old: bytes, new: bytes) -> list[object]:
    """Patches of every codec."""
    return list(make_delta(old, new, with_zstd=True))


class Folder(FetcherInterface):
    """A static file server without the network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = self.folder / url.removeprefix("folder:/")
        if not path.is_file():
            raise DownloadHTTPError("not there", 404)
        return iter([path.read_bytes()])


class Device:
    """A device that was given the first root, and keeps what it came to trust; it begins with what `like` knows."""

    def __init__(self, published: Path, home: Path, url: str | None = None, like: Device | None = None) -> None:
        self.home = home
        self.root = (published / "metadata" / "1.root.json").read_bytes()
        self.fetcher = Folder(published) if url is None else None
        self.url = url or "folder:/"
        if like is None:
            home.mkdir()
        else:
            shutil.copytree(like.home, home)

    def sees(self) -> dict[str, bytes]:
        """Every target by name, fetched and verified, after a full update."""
        updater = Updater(
            str(self.home), f"{self.url}metadata/", str(self.home), f"{self.url}targets/", self.fetcher, bootstrap=self.root
        )
        updater.refresh()
        updater.get_targetinfo("canary/a/b/c")  # so that the canary's metadata are read and verified as well
        found: dict[str, bytes] = {}
        for role in ("targets", "canary"):
            for name in Metadata[Targets].from_file(str(self.home / f"{role}.json")).signed.targets:
                target = updater.get_targetinfo(name)
                assert target is not None, name
                found[name] = Path(updater.download_target(target, str(self.home / "file"))).read_bytes()
        return found


def dying(work: Callable[[], object], folder: Path, moment: int, events: tuple[str, ...], error: OSError | None = None) -> int:
    """Run `work` in a child that dies, or is refused, at the `moment`th of the `events` that touch `folder`.

    SURVIVED when it came to its end before that, KILLED when it died, REFUSED when a StoreError came of the disk's error.
    """
    child = os.fork()
    if child == 0:
        left = moment

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if event in events and str(folder) in str(arguments[0]) and (event != "open" or arguments[1] in ("w", "wb", None)):
                left -= 1
                if left == 0:
                    if error is not None:
                        raise error
                    os._exit(KILLED)

        sys.addaudithook(hook)
        try:
            work()
        except StoreError as refusal:
            os._exit(REFUSED if str(refusal).endswith(".") else 1)
        except BaseException as wrong:
            sys.stderr.write(repr(wrong))
            os._exit(1)
        os._exit(SURVIVED)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def no_leftovers(folder: Path) -> None:
    """Assert that no temporary file is there."""
    found = [path for path in folder.rglob("*") if path.name.startswith(".") or path.suffix == ".part"]
    if found:
        pytest.fail(f"left behind: {found}")
