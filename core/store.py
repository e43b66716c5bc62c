"""The step store: every step's result lies under the digest of all that it was made from.

A key is the digest of the step's name, its inputs' digests, its options and the versions that matter. A result is a folder
of files, moved into place in one rename with a list of its digests, so that a killed run leaves nothing that looks
finished, a second run finds what the first one made, and a damaged result is made again instead of being used. A long step
keeps what it needs to go on after a kill in a folder of its own, until it is finished.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .canonical import digest_file, digest_json, dumps
from .errors import StoreError
from .files import folder_in_place, remove_stale

_DIGESTS = "digests.json"
_UNFINISHED_SECONDS = 30 * 24 * 3600


class StepStore:
    """Content-addressed results of steps under one folder; safe for several processes at once."""

    def __init__(self, root: Path) -> None:
        """Open (and create) the store; raises StoreError when the folder cannot be written."""
        self.root = root
        self._scratch = root / "scratch"
        self._unfinished = root / "unfinished"
        try:
            self._scratch.mkdir(parents=True, exist_ok=True)
            self._unfinished.mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot use {root} as the step store: {error.strerror or error}; give a writable folder with --store."
            ) from error
        remove_stale(self._scratch)
        remove_stale(self._unfinished, older_seconds=_UNFINISHED_SECONDS)

    @staticmethod
    def key(step: str, **parts: Any) -> str:
        """Digest of the step's name and everything that its result depends on (JSON values)."""
        return digest_json({"step": step, **parts})

    def find(self, key: str) -> Path | None:
        """Folder of a finished, undamaged result, or None; a damaged one is removed."""
        folder = self._place(key)
        try:
            digests: dict[str, str] = json.loads((folder / _DIGESTS).read_bytes())
            if all(digest_file(folder / name) == value for name, value in digests.items()):
                return folder
        except (OSError, ValueError):
            pass
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
        return None

    def step(self, key: str, make: Callable[[Path], None]) -> Path:
        """Folder of the result under `key`; `make(folder)` writes its files when there is none yet."""
        found = self.find(key)
        if found is not None:
            return found
        target = self._place(key)
        with folder_in_place(target, self._scratch) as folder:
            make(folder)
            names = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
            (folder / _DIGESTS).write_bytes(dumps({name: digest_file(folder / name) for name in names}))
        shutil.rmtree(self.unfinished(key), ignore_errors=True)
        return target

    def unfinished(self, key: str) -> Path:
        """Folder for what a step that is not finished goes on from; gone with `step`, or a month after its last file."""
        return self._unfinished / key

    def json_step(self, key: str, make: Callable[[], Any]) -> Any:
        """Like `step`, for a result that is one JSON value."""
        folder = self.step(key, lambda made: _write_json(made / "value.json", make()))
        return json.loads((folder / "value.json").read_bytes())

    def _place(self, key: str) -> Path:
        return self.root / key[:2] / key[2:]


def _write_json(path: Path, value: Any) -> None:
    path.write_bytes(dumps(value))
